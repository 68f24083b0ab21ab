"""Scripts of arrays: what stands in them, and that no text of a person becomes a command."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from a5ctl.cluster.needs import Needs
from a5ctl.cluster.pbs import Pbs
from a5ctl.cluster.script import Errand
from a5ctl.cluster.site import PbsKind, Site
from a5ctl.cluster.slurm import Slurm

GOLDEN = Path(__file__).parent / "golden"
SITE = Site(
    walltime="1-02:30:00",
    margin="5m",
    partition="gpu",
    queue="gpuq",
    account="proj_7",
    qos="long",
    gpu_type="a100",
    memory="32G",
    at_once=2,
    modules=("cuda/12.4", "python/3.11"),
    venv="/home/me/my env",
    environment={"HF_HOME": "/scratch/me/hf"},
    setup=("ulimit -n 4096",),
    directives=("-m ae",),
)
ERRAND = Errand(
    name="a5-k3f9x2m1qz",
    title="plan rates",
    cells=("1f3a9c2e", "77aa01bc", "9e8d7c6b"),
    folder=Path("/work/plans/rates-1a2b3c/jobs/a5-k3f9x2m1qz"),
    directory=Path("/home/me/study"),
    command=("a5ctl", "plan", "cell", "/home/me/study/rates.toml", None, "--quiet"),
    environment={"A5CTL_REGISTRY": "postgresql:///experiments"},
)
HOSTILE = "a'b\"c $(touch pwned) `touch pwned`; touch pwned\n#SBATCH --uid=0\ntouch pwned & \\"


@pytest.mark.parametrize(
    ("name", "system"),
    [("slurm", Slurm()), ("openpbs", Pbs(PbsKind.OPENPBS)), ("torque", Pbs(PbsKind.TORQUE))],
)
def test_a_script_is_as_it_was_looked_at(name: str, system: Slurm | Pbs) -> None:
    path = GOLDEN / f"{name}.sh"
    text = system.script(ERRAND, SITE, Needs(gpus=2, cpus=8))
    if os.environ.get("A5CTL_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
    subprocess.run(["bash", "-n", str(path)], check=True)


def errand(folder: Path, *command: str | None, title: str = "t") -> Errand:
    folder.mkdir(exist_ok=True)
    return Errand("a5-x", title, ("cell",), folder, folder, command, {"TEXT": HOSTILE})


def carry_out(text: str, folder: Path) -> subprocess.Popen[bytes]:
    script = folder.parent / "job.sh"
    script.write_text(text)
    return subprocess.Popen(["bash", str(script)], cwd=folder.parent)


def test_no_text_of_a_person_becomes_a_command(tmp_path: Path) -> None:
    folder = tmp_path / "f'o\"o $(touch pwned) `x`\n#PBS"
    site = Site(walltime="1h", environment={"MORE": HOSTILE}, program=("x",))
    command = ("sh", "-c", 'printf "%s" "$TEXT" "$MORE" "$0" "$1"', HOSTILE, None)
    for system in (Slurm(), Pbs(PbsKind.OPENPBS)):
        text = system.script(errand(folder, *command, title=HOSTILE), site, Needs(0, 1))
        assert carry_out(text, folder).wait() == 0
        assert (folder / "0.log").read_text() == f"{HOSTILE * 3}cell"
        assert (folder / "0.exit").read_text() == "0\n"
        (folder / "0.log").unlink()
    assert not list(tmp_path.rglob("pwned"))


def test_the_word_to_stop_is_passed_on_and_waited_for(tmp_path: Path) -> None:
    cell = 'trap "sleep 0.3; exit 143" TERM; touch up; while :; do sleep 0.05; done'
    folder = tmp_path / "jobs"
    text = Slurm().script(errand(folder, "bash", "-c", cell), Site(walltime="1h"), Needs(0, 1))
    process = carry_out(text, folder)
    while not (folder / "up").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert (folder / "0.exit").read_text() == "143\n"


@pytest.mark.slow
def test_on_pbs_the_script_itself_says_when_to_stop(tmp_path: Path) -> None:
    cell = 'trap "exit 143" TERM; while :; do sleep 0.05; done'
    folder = tmp_path / "jobs"
    site = Site(walltime="2s", margin="1s")
    text = Pbs(PbsKind.OPENPBS).script(errand(folder, "bash", "-c", cell), site, Needs(0, 1))
    assert carry_out(text, folder).wait() == 143
    assert (folder / "0.exit").read_text() == "143\n"


def test_what_goes_wrong_before_a_cell_is_in_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    site = Site(walltime="1h", venv=str(tmp_path / "gone"))
    text = Slurm().script(errand(folder, "true"), site, Needs(0, 1))
    assert carry_out(text, folder).wait() == 1
    assert "gone/bin/activate" in (folder / "0.log").read_text()


def test_visible_gpus_stay_as_the_batch_system_named_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = "GPU-8f2c1a3e-0000-1111-2222-333344445555, GPU-9a"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    folder = tmp_path / "jobs"
    cell = errand(folder, "sh", "-c", 'printf "%s" "$CUDA_VISIBLE_DEVICES"')
    assert carry_out(Slurm().script(cell, Site(walltime="1h"), Needs(2, 1)), folder).wait() == 0
    assert (folder / "0.log").read_text() == gpus
