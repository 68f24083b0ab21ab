"""The standard experiments: complete, on record, and every command of theirs is one that runs.

Scripts run as they are; what they call `a5ctl` is answered by this process.
"""

import runpy
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.config.load import to_tree
from core.config.schema import RunConfig
from core.prompts.template import load_prompt
from tests.a5ctl.conftest import ROOT, House, small_house, write_problems
from tests.a5ctl.scripts import Command, in_process, tell
from trainers.defaults import resolve_defaults

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="these are shell scripts")

FOLDER = ROOT / "examples" / "experiments"
RESULTS = runpy.run_path(str(FOLDER / "results.py"))
NAMES: tuple[str, ...] = RESULTS["ORDER"]
FILES = {"README.md", "small.sh", "qwen.sh", "outcome.txt"}

# What an experiment asks; its runs share everything else. Names and budgets that follow from it
# are none of it.
ASKED = {
    "baseline": {"prompt.template", "evaluation.grader", "evaluation.stop"},
    "sft_sizes": {"data.size", "train.epochs"},
    "size_table": {"data.size", "train.epochs"},
    "abc_plan": {"data.size", "train.epochs", "train.supervise", "train.lr"},
    "filtered_sft": {"data.filter", "train.epochs"},
    "ei_sweep": {"ei.questions", "rollout.per_question", "train.epochs"},
    "grpo_learning_rate": {"train.lr"},
    "grpo_baselines": {"grpo.loss"},
    "grpo_length_normalization": {"grpo.length_normalization"},
    "grpo_std_normalization": {"grpo.std_normalization"},
    "grpo_off_policy": {"grpo.loss", "grpo.train_batch", "grpo.epochs_per_rollout"},
    "grpo_clip": {"grpo.loss", "grpo.clip_high"},
    "grpo_prompt": {
        *("prompt.template", "evaluation.grader", "evaluation.stop"),
        *("rollout.grader", "rollout.stop"),
    },
}
LABELS = {"name", "group", "evaluation.every"}


def says_nothing(command: Command) -> tuple[int, str]:
    """An empty registry in which everything goes well."""
    return (2, "") if command[0] == "show" else (0, f"said of {' '.join(command[:2])}\n")


def test_the_folders_are_those_of_the_page() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == set(NAMES) == set(ASKED)


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_is_complete(name: str) -> None:
    assert {path.name for path in (FOLDER / name).iterdir()} >= FILES


def test_page_and_table_hold_what_is_on_record() -> None:
    for path, text in RESULTS["documents"]().items():
        assert path.read_text(encoding="utf-8") == text, f"run {FOLDER / 'results.py'}"


def test_figures_are_those_of_the_tables() -> None:
    outcome = """$ a5ctl compare --group table

 run            size      lr  accuracy  95% interval    diff
 ────────────────────────────────────────────────────────────
 sft-256-abcd    256  0.0006   ★ 46.1%  [43.1, 49.2]  +30.0
 sft-128-efgh    128       -     16.1%  [14.0, 18.5]  baseline

accuracy: r1_zero grader, last evaluation of each run

$ a5ctl compare --criteria criteria.toml

1 met, 0 not met, 2 cannot tell
"""
    assert RESULTS["figures"](outcome).split("; ") == [
        "table: 46.1% (size 256, lr 0.0006), 16.1% (size 128, lr -)",
        "1 met, 0 not met, 2 cannot tell",
    ]


def test_a_long_table_is_told_by_its_ends() -> None:
    rows = "\n".join(f" sft-{i}  {i}  {90 - i}.0%  [1.0, 2.0]" for i in range(9))
    outcome = f"$ a5ctl compare\n\n run  size  accuracy  95% interval\n{rows}\n"
    assert RESULTS["figures"](outcome) == "90.0% (size 0) down to 82.0% (size 8)"


def test_runs_that_are_finished_are_not_made_again(tmp_path: Path) -> None:
    def answer(command: Command) -> tuple[int, str]:
        states = {"start-128": "finished", "policy": "interrupted"}
        if command[0] == "show" and command[1] in states:
            return 0, f'{{\n  "id": "x",\n  "status": "{states[command[1]]}",\n  "seed": 0\n}}\n'
        return says_nothing(command)

    told = tell(
        FOLDER / "grpo_baselines" / "small.sh",
        tmp_path,
        answer,
        environment={"A5CTL_HOME": str(tmp_path)},
    )
    assert told.code == 0, told.text
    assert [names_of(command) for command in told.given("run")] == ["policy-no-baseline"]
    assert told.given("resume") == [["resume", "policy", "--quiet"]]


def test_seeds_are_runs_of_their_own(tmp_path: Path) -> None:
    told = tell(
        FOLDER / "grpo_std_normalization" / "small.sh",
        tmp_path,
        says_nothing,
        environment={"A5CTL_HOME": str(tmp_path), "SEEDS": "0 1", "INIT": "my-start"},
    )
    names = ["policy", "policy-seed1", "policy-no-std", "policy-no-std-seed1"]
    assert [names_of(command) for command in told.given("run")] == names
    assert [option(command, "--init") for command in told.given("run")] == ["my-start"] * 4
    assert told.given("compare") == [["compare", *names, "--baseline", "policy"]]


def test_a_run_that_fails_ends_the_script(tmp_path: Path) -> None:
    told = tell(
        FOLDER / "size_table" / "small.sh",
        tmp_path,
        lambda command: (1, "") if command[0] == "run" else says_nothing(command),
        environment={"A5CTL_HOME": str(tmp_path)},
    )
    assert told.code == 1
    assert len(told.given("run")) == 1


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The experiments in a place where outcomes may be written; none is on record."""
    folder = tmp_path / "examples" / "experiments"
    shutil.copytree(FOLDER.parent, folder.parent)
    for outcome in folder.glob("*/outcome.txt"):
        outcome.unlink()
    (tmp_path / "docs").mkdir()
    return folder


@pytest.mark.slow
def test_recorded_outcomes_are_left_alone(copied: Path, tmp_path: Path) -> None:
    environment = {"A5CTL_HOME": str(tmp_path / "lab")}
    (copied / "baseline" / "outcome.txt").write_text("as it was\n")
    record = copied / "record.sh"
    names = ("baseline", "grpo_baselines")
    told = tell(record, tmp_path, says_nothing, *names, environment=environment)
    assert told.code == 0, told.text
    assert (copied / "baseline" / "outcome.txt").read_text() == "as it was\n"
    assert (copied / "grpo_baselines" / "outcome.txt").read_text().startswith("$ a5ctl compare ")
    again = tell(record, tmp_path, says_nothing, *names, environment={**environment, "FORCE": "1"})
    assert len(again.given("run", "eval")) == 3
    assert "said of compare" in (copied / "baseline" / "outcome.txt").read_text()


@pytest.mark.slow
def test_a_failed_experiment_has_no_outcome_and_does_not_stop_the_others(
    copied: Path, tmp_path: Path
) -> None:
    told = tell(
        copied / "record.sh",
        tmp_path,
        lambda command: (1, "") if command[:2] == ["run", "eval"] else says_nothing(command),
        *("baseline", "size_table"),
        environment={"A5CTL_HOME": str(tmp_path / "lab")},
    )
    assert told.code == 1
    assert not (copied / "baseline" / "outcome.txt").exists()
    assert (copied / "size_table" / "outcome.txt").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xargs") is None, reason="all.sh needs xargs")
def test_all_of_them_make_no_run_twice_and_write_the_page(copied: Path, tmp_path: Path) -> None:
    made: set[str] = set()

    def answer(command: Command) -> tuple[int, str]:
        if command[0] == "run":
            name = names_of(command)
            assert name not in made
            made.add(name)
        if command[0] == "show" and command[1] in made:
            return 0, '{\n  "status": "finished",\n}\n'
        return says_nothing(command)

    home = tmp_path / "lab"
    told = tell(copied / "all.sh", tmp_path, answer, environment={"A5CTL_HOME": str(home)})
    assert told.code == 0, told.text
    assert {path.parent.name for path in copied.glob("*/outcome.txt")} == set(NAMES)
    page = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert page.count("said of compare") >= len(NAMES)
    assert "not recorded" not in page


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_variant_for_qwen_asks_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs: list[RunConfig] = []

    def keep(cells: Sequence[RunConfig], *_: Any, **__: Any) -> None:
        configs.extend(cells)

    def answer(command: Command) -> tuple[int, str]:
        if command[0] != "run":
            return says_nothing(command)
        return in_process(command, {"A5CTL_HOME": str(tmp_path)})

    monkeypatch.setattr("a5ctl.launch.launch", keep)
    environment = {"A5CTL_HOME": str(tmp_path)}
    if name == "filtered_sft":  # which rewrites the problems, and so has to have them
        environment["DATA"] = str(tmp_path)
        for number, split in enumerate(("train", "test")):
            write_problems(tmp_path / f"{split}.jsonl", 8, offset=100 * number)
    told = tell(FOLDER / name / "qwen.sh", tmp_path, answer, environment=environment)
    assert told.code == 0, told.text
    assert len(configs) == len(told.given("run")) >= 2
    assert {config.model.source for config in configs} == {"Qwen/Qwen2.5-Math-1.5B"}
    assert len({config.data.source for config in configs}) == 1
    assert varying([resolved(config) for config in configs]) == ASKED[name]


SMALL = ("--engine", "hf", "--eval-limit", "4", "--max-tokens", "8")
TAUGHT = ("--steps", "80", "--lr", "1e-2", "--max-tokens", "50", "--name", "taught")


@pytest.fixture(scope="module")
def lab(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A workspace for all small variants, in which a run that several need is made by the first."""
    return small_house(small_folder, tmp_path_factory.mktemp("lab") / "home")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_small_variant_runs_to_its_end(name: str, lab: House, tmp_path: Path) -> None:
    outcome = tmp_path / "outcome.txt"
    environment = {
        "A5CTL_HOME": str(lab.home),
        "A5CTL_MODEL": str(lab.model),
        "COLUMNS": "150",
        "STEPS": "1",
        "ROLLOUT_BATCH": "32",
        "QUESTIONS": "4",
    }
    words = SMALL if name == "baseline" else (*SMALL, "--size", "8")
    if name == "ei_sweep":  # learns only from what is right, so from a model that was taught
        lab.sft(*TAUGHT)
        environment["INIT"] = "taught"
        words += ("--data", str(lab.data), "--max-tokens", "50", "--rollout-temperature", "0.5")
    told = tell(
        FOLDER / name / "small.sh",
        tmp_path,
        lambda command: in_process(command, environment),
        *words,
        environment={**environment, "OUTCOME": str(outcome)},
    )
    assert told.code == 0, told.text
    said = outcome.read_text(encoding="utf-8")
    assert RESULTS["figures"](said)
    assert str(ROOT) not in said


def resolved(config: RunConfig) -> RunConfig:
    """The run's settings as they would be for GSM8K."""
    template = load_prompt(config.prompt.template)
    return resolve_defaults(config, template, str(config.model.source), 7473)


def varying(configs: Sequence[RunConfig]) -> set[str]:
    """Settings in which runs differ."""
    trees = [flat(to_tree(config)) for config in configs]
    keys = {key for tree in trees for key in tree}
    differ = {key for key in keys if len({repr(tree.get(key)) for tree in trees}) > 1}
    return differ - LABELS


def flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings with dotted names."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{key}.")
        else:
            found[before + key] = value
    return found


def names_of(command: Command) -> str:
    return option(command, "--name")


def option(command: Command, name: str) -> str:
    return command[command.index(name) + 1]
