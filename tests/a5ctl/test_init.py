"""The first command: three answers become a file that runs take their defaults from."""

import json
import os
import sys
import tomllib
from pathlib import Path

import pytest

from tests.a5ctl.conftest import ROOT, House
from tests.a5ctl.handmade import open_home

ONCE = ("--steps", "1", "--size", "4", "--batch-size", "2", "--max-tokens", "4", "--threads", "1")


def written(house: House) -> dict[str, dict[str, str]]:
    return tomllib.loads((house.home / "a5ctl.toml").read_text())


def defaults(house: House, text: str) -> None:
    house.home.mkdir(parents=True, exist_ok=True)
    (house.home / "a5ctl.toml").write_text(text)


def test_init_writes_what_was_given_and_says_what_to_type_next(house: House) -> None:
    told = house.run("init", "--model", house.model, "--data", house.data, "--engine", "hf")
    assert told.exit_code == 0, told.output
    assert written(house) == {
        "model": {"source": str(house.model)},
        "data": {"source": str(house.data)},
        "evaluation": {"engine": "hf"},
    }
    assert "40 train, 12 test" in told.stdout
    assert "a5ctl run sft --size 256" in told.stdout


def test_yes_takes_what_is_built_in(house: House) -> None:
    found = house.json("init", "--yes")
    assert found["settings"]["model.source"] == found["settings"]["data.source"] == "builtin"
    assert found["next"] == "a5ctl run sft --size 256"


@pytest.mark.slow
def test_data_inside_the_workspace_are_found_from_everywhere(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    house.home.mkdir()
    (house.home / "sums").symlink_to(house.data)
    monkeypatch.chdir(house.home)
    house.json("init", "--model", str(house.model), "--data", "sums", "--engine", "hf")
    assert written(house)["data"]["source"] == "sums"
    monkeypatch.chdir(tmp_path)
    (outcome,) = house.json("run", "eval", "--max-tokens", "4", "--quiet")
    assert outcome["status"] == "finished"


def test_an_existing_file_stays_unless_forced(house: House) -> None:
    defaults(house, "# mine\n")
    refused = house.run("init", "--yes")
    assert refused.exit_code == 2
    assert "--force" in refused.output
    assert (house.home / "a5ctl.toml").read_text() == "# mine\n"
    assert house.run("init", "--yes", "--force").exit_code == 0
    assert written(house)["model"] == {"source": "builtin"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "there is no terminal to ask at"),
        (("--model", "builtin"), "there is no terminal to ask at"),
        (("--yes", "--model", "./nowhere"), "neither 'builtin'"),
        (("--yes", "--data", "./nowhere.jsonl"), "was not found"),
        (("--yes", "--engine", "tgi"), "choose auto, vllm or hf"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_written(
    house: House, given: tuple[str, ...], said: str
) -> None:
    refused = house.run("init", *given)
    assert refused.exit_code == 2
    assert said in refused.output
    assert not (house.home / "a5ctl.toml").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no pseudo terminal")
def test_on_a_terminal_it_asks_again_until_an_answer_can_be_used(house: House) -> None:
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ |= {"A5CTL_HOME": str(house.home), "PYTHONPATH": str(ROOT)}
        os.execv(sys.executable, [sys.executable, "-m", "a5ctl", "init"])
    os.write(terminal, f"./nowhere\n{house.model}\n\nhf\n".encode())
    said = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said.decode()
    assert "neither 'builtin'" in said.decode()
    assert written(house)["data"] == {"source": "builtin"}
    assert written(house)["model"] == {"source": str(house.model)}


@pytest.mark.slow
def test_runs_take_their_defaults_from_it_and_say_so(house: House) -> None:
    defaults(
        house,
        f"[model]\nsource = '{house.model}'\n[data]\nsource = '{house.data}'\n"
        "[evaluation]\nengine = 'hf'\nlimit = 2\n[train]\nepochs = 3\nlr = 1e-3\n"
        "[grpo]\nkl = 0.5\n",
    )
    (outcome,) = house.json("run", "sft", *ONCE, "--lr", "1e-4", "--quiet")
    run = open_home(house.home).find_run(outcome["run"])
    assert run.config["data"]["source"] == str(house.data)
    assert run.config["train"]["lr"] == 1e-4
    assert run.config["train"]["steps"] == 1
    assert "epochs" not in run.config["train"]
    provenance = open_home(house.home).provenance(run.uuid)["defaults"]
    assert provenance["file"] == str(house.home / "a5ctl.toml")
    assert set(provenance["settings"]) == {
        "model.source", "data.source", "evaluation.engine", "evaluation.limit",
    }  # fmt: skip


def resolved(house: House, kind: str = "sft", *given: str) -> dict[str, object]:
    """The settings a run would have, without running it."""
    from a5ctl.cells import WeightSource, build_cells, start_tree
    from core.config.flat import flatten
    from core.config.load import to_tree

    config = house.home / "exp.toml"
    tree = start_tree(kind, config if config.exists() else None, WeightSource({}), house.home)
    (cell,) = build_cells(tree, {}, list(given), None, None)
    return flatten(to_tree(cell))


def test_the_order_of_defaults(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built in, file, variable, config file, --set: each wins over those before it."""
    key = "evaluation.grader"
    assert key not in resolved(house)
    defaults(house, "[evaluation]\ngrader = 'lenient'\n")
    assert resolved(house)[key] == "lenient"
    monkeypatch.setenv("A5CTL_GRADER", "strict")
    assert resolved(house)[key] == "strict"
    (house.home / "exp.toml").write_text("[evaluation]\ngrader = 'diagnostic'\n")
    assert resolved(house)[key] == "diagnostic"
    assert resolved(house, "sft", f"{key}=r1_zero")[key] == "r1_zero"


def test_a_run_to_go_on_from_wins_over_defaults_but_for_the_machine(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from a5ctl.cells import WeightSource, build_cells, start_tree

    monkeypatch.setenv("A5CTL_DATA", "elsewhere")
    monkeypatch.setenv("A5CTL_MODEL", "other")
    monkeypatch.setenv("A5CTL_ENGINE", "hf")
    inherited = {"data": {"source": "theirs"}, "evaluation": {"engine": "vllm", "n": 2}}
    source = WeightSource({"model.run": "sft-256-k3f9"}, inherited)
    tree = start_tree("eval", None, source, house.home)
    (cell,) = build_cells(tree, source.settings, [], None, None)
    assert (cell.data.source, cell.evaluation.engine, cell.evaluation.n) == ("theirs", "hf", 2)
    assert (cell.model.run, cell.model.source) == ("sft-256-k3f9", "builtin")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model", "is not valid TOML"),
        ("[train]\nlearning_rate = 1", "'train.learning_rate' is not a setting"),
        ("[train]\nlr = 'high'", "train.lr: "),
        ("[evaluation]\nengine = 'tgi'", "evaluation.engine: "),
        ("kind = 'sft'", "'kind' belongs to one run"),
        ("[train]\nepochs = 1\nsteps = 2", "are both budgets"),
        ("model = 1", "'model' is not a setting"),
    ],
)
def test_a_broken_file_is_told_in_one_sentence(house: House, text: str, said: str) -> None:
    defaults(house, text)
    told = house.run("run", "sft", *ONCE)
    assert told.exit_code == 2
    assert "a5ctl.toml" in " ".join(told.output.split()).replace(" ", "")
    assert said in " ".join(told.output.split())
    assert not (house.home / "runs").exists()


def test_a_variable_that_is_wrong_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A5CTL_GRADER", "severe")
    told = house.run("run", "sft", *ONCE)
    assert told.exit_code == 2
    assert "variable A5CTL_GRADER" in " ".join(told.output.split())


def test_every_variable_is_named_in_the_help(house: House) -> None:
    from a5ctl.defaults import VARIABLES

    told = house.run("run", "grpo", "--help").output
    for name in (*VARIABLES, "A5CTL_HOME", "A5CTL_REGISTRY", "A5CTL_QUIET", "A5CTL_MIRROR"):
        assert name in told


@pytest.mark.slow
def test_quiet_can_be_a_habit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A5CTL_QUIET", "1")
    told = house.run("run", "eval", *house.small[:6], "--max-tokens", "4")
    assert told.exit_code == 0, told.output
    assert "Evaluation at step" not in told.output
    assert json.loads(house.run("ls", "--json").stdout)
