"""Site files: one sentence for what is wrong, and options that do not go together."""

from pathlib import Path

import pytest

from a5ctl.cluster.site import load_site, seconds
from core.errors import UserError
from tests.a5ctl.conftest import House

PLAN = 'name = "p"\nseeds = [0]\n[base]\nkind = "sft"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", 'walltime is missing; write for example walltime = "4:00:00"'),
        ('walltime = "soon"', "give a duration such as 4:00:00, 1-12:00:00 or 90m"),
        ('walltime = "1m"', "margin 2m leaves nothing of walltime 1m"),
        ('walltime = "1h"\nwaltime = "2h"', "'waltime' is not known here; did you mean walltime?"),
        ('walltime = "1h"\npartition = "a\\n#SBATCH --uid=0"', "use letters, digits and"),
        ('walltime = "1h"\naccount = "-x"', "account: use letters, digits and"),
        ('walltime = "1h"\nmemory = "lots"', "give a number with M, G or T, such as 32G"),
        ('walltime = "1h"\ndirectives = ["rm -rf /"]', "is no option; write for example"),
        ('walltime = "1h"\ndirectives = ["-x\\nrm"]', "one line without control characters"),
        ('walltime = "1h"\n[environment]\n"A B" = "x"', "'A B' is no name of a variable"),
        ('walltime = "1h"\nvenv = "/v"\nprogram = ["x"]', "give one of them"),
        ("walltime = ", "is not valid TOML"),
    ],
)
def test_a_wrong_site_file_is_named_in_one_sentence(
    house: House, tmp_path: Path, text: str, said: str
) -> None:
    plan, site = tmp_path / "plan.toml", tmp_path / "site.toml"
    plan.write_text(PLAN)
    site.write_text(text)
    options = ("--on", "slurm", "--site", str(site), "--dry-run")
    result = house.run("plan", "run", str(plan), *options)
    assert result.exit_code == 2
    output = " ".join(result.output.split())
    assert said in output
    assert output.startswith("error: site file")
    assert not (house.home / "plans").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--on", "slurm"), "--on slurm needs --site FILE"),
        (("--on", "lsf"), "--on 'lsf' is unknown; give ray"),
        (("--site", "x.toml"), "with --on slurm or --on pbs"),
        (("--on", "ray", "--site", "x.toml"), "with --on slurm or --on pbs"),
        (("--dry-run",), "shows the scripts of --on slurm and --on pbs"),
        (("--recording", "node"), "add --on PLACE"),
        (("--on", "ray", "--recording", "both"), "choose auto, shared, node"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    house: House, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    result = house.run("plan", "run", str(tmp_path / "plan.toml"), *options)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("text", "number"),
    [("90m", 5400), ("4:00:00", 14400), ("4:30", 16200), ("1-12:00:00", 129600), ("45s", 45)],
)
def test_durations_are_read(text: str, number: int) -> None:
    assert seconds(text) == number


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.toml cannot be read: No such file"):
        load_site(tmp_path / "gone.toml")
