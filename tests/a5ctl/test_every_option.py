"""Options that reach a setting, a place or a stream: each is given once, and nothing is trained."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.config.flat import flatten
from core.config.load import to_tree
from core.plans.load import load_plan
from tests.a5ctl import handmade, walk
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, right, wrong

WHERE = [
    path
    for path, command in walk.commands().items()
    if {"--home", "--registry"} <= walk.options(command).keys()
    and path not in (("ui",),)  # refuses to go on without a terminal; has tests of its own
]
NEEDED = {
    ("diagnose",): ("a-run",),
    ("plot",): ("loss", "a-run"),
    ("grade",): ("--record", "{dump}"),
    ("import",): ("{dump}",),
    ("sql",): ("select 1",),
    ("protocol", "diff"): ("a-run", "b-run"),
    ("registry", "backup"): ("{new}",),
    ("pairs",): ("a-run", "--out", "{new}"),
    ("run", "dpo"): ("--pairs", "{dump}", "--init", "a-run"),
    ("export", "runs"): ("a-run", "--out", "{new}"),
    **{("plan", name): ("{plan}",) for name in ("check", "run", "status", "report", "stop")},
    ("plan", "cell"): ("{plan}", "{cell}"),
}
"""Arguments beside a run, for commands that cannot do without."""

FILES = {"dump": "dump.jsonl", "plan": "plan.toml", "new": "new"}

Setting = tuple[str, str, str, Any]
OF_EVALUATION: list[Setting] = [
    ("--device", "cpu", "model.device", "cpu"),
    ("--engine", "hf", "evaluation.engine", "hf"),
    ("--grader", "lenient", "evaluation.grader", "lenient"),
    ("--split", "dev", "evaluation.split", "dev"),
    ("--eval-limit", "7", "evaluation.limit", 7),
    ("--max-tokens", "33", "evaluation.max_tokens", 33),
    ("--gpu-memory-utilization", "0.4", "evaluation.gpu_memory_utilization", 0.4),
    ("--temperature", "0.5", "evaluation.temperature", 0.5),
    ("--prompt", "question_only", "prompt.template", "question_only"),
    ("--seed", "5", "seed", 5),
    ("--name", "first", "name", "first"),
    ("--group", "sizes", "group", "sizes"),
    ("--tag", "good", "tags", ["good"]),
    ("--note", "why not", "note", "why not"),
    ("--set", "evaluation.n=3", "evaluation.n", 3),
]
OF_TRAINING: list[Setting] = [
    *OF_EVALUATION,
    ("--size", "12", "data.size", 12),
    ("--data-seed", "9", "data.seed", 9),
    ("--eval-data", "builtin", "data.evaluation_source", "builtin"),
    ("--lr", "1e-3", "train.lr", 1e-3),
    ("--schedule", "linear", "train.schedule", "linear"),
    ("--warmup", "0.25", "train.warmup", 0.25),
    ("--min-lr-ratio", "0.5", "train.min_lr_ratio", 0.5),
    ("--threads", "3", "train.threads", 3),
    ("--on-alarm", "stop", "train.on_alarm", "stop"),
    ("--keep-last", "4", "train.keep_last", 4),
    ("--keep-best", "2", "train.keep_best", 2),
    ("--placement", "shared", "evaluation.placement", "shared"),
    ("--eval-every", "6", "evaluation.every", 6),
]
OF_BATCHES: list[Setting] = [
    ("--batch-size", "2", "train.batch_size", 2),
    ("--max-length", "99", "train.max_length", 99),
]
OF_ROLLOUTS: list[Setting] = [
    ("--rollout-temperature", "0.7", "rollout.temperature", 0.7),
    ("--rollout-max-tokens", "44", "rollout.max_tokens", 44),
    ("--train-grader", "r1_zero", "rollout.grader", "r1_zero"),
    ("--keep-rollouts", "none", "rollout.keep", "none"),
]
OF_SFT = [
    *OF_TRAINING, *OF_BATCHES,
    ("--supervise", "answer", "train.supervise", "answer"),
    ("--epochs", "1.5", "train.epochs", 1.5),
    ("--gpus", "2", "train.gpus", 2),
    ("--filter", "correct", "data.filter", "correct"),
]  # fmt: skip
OF_DPO = [
    *OF_TRAINING, *OF_BATCHES,
    ("--tokens", "1000", "train.tokens", 1000),
    ("--beta", "0.3", "dpo.beta", 0.3),
    ("--loss", "ipo", "dpo.loss", "ipo"),
    ("--label-smoothing", "0.1", "dpo.label_smoothing", 0.1),
]  # fmt: skip
OF_GRPO = [
    *OF_TRAINING, *OF_ROLLOUTS,
    ("--group-size", "2", "rollout.per_question", 2),
    ("--rollout-batch", "8", "grpo.rollout_batch", 8),
    ("--train-batch", "4", "grpo.train_batch", 4),
    ("--epochs-per-rollout", "2", "grpo.epochs_per_rollout", 2),
    ("--steps", "3", "grpo.steps", 3),
    ("--loss", "no_baseline", "grpo.loss", "no_baseline"),
    ("--tis-cap", "2", "grpo.tis_cap", 2.0),
]  # fmt: skip
OF_EI = [
    *OF_TRAINING, *OF_BATCHES, *OF_ROLLOUTS,
    ("--supervise", "answer", "train.supervise", "answer"),
    ("--ei-steps", "2", "ei.steps", 2),
    ("--questions", "8", "ei.questions", 8),
    ("--rollouts", "3", "rollout.per_question", 3),
    ("--epochs", "1.5", "train.epochs", 1.5),
    ("--max-per-problem", "1", "ei.max_per_problem", 1),
]  # fmt: skip


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """What would be run: settings, and how."""
    seen: list[Mapping[str, Any]] = []

    def note(
        configs: Any, home: Any, registry: Any, mirrors: Any, provenance: Any, **how: bool
    ) -> None:
        seen.extend(
            {**flatten(to_tree(c)), "mirrors": list(mirrors), "home": home, **how} for c in configs
        )

    monkeypatch.setattr("a5ctl.launch.launch", note)
    return seen


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (("run", "sft"), OF_SFT),
        (("run", "dpo"), OF_DPO),
        (("run", "grpo"), OF_GRPO),
        (("run", "ei"), OF_EI),
        (("run", "eval"), OF_EVALUATION),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_options_reach_their_settings(
    house: House, started: list[Mapping[str, Any]], words: tuple[str, str], settings: list[Setting]
) -> None:
    given = [text for option, value, _, _ in settings for text in (option, value)]
    more = ("--model", "builtin", "--data", "builtin", "--mirror", "tensorboard", "--json")
    told = house.run(*words, *given, *more, "--quiet")
    assert told.exit_code == 0, told.output
    (run,) = started
    assert {key: run[key] for _, _, key, _ in settings} == {key: v for _, _, key, v in settings}
    assert (run["mirrors"], run["quiet"], run["as_json"]) == (["tensorboard"], True, True)


@pytest.mark.parametrize("kind", ["sft", "dpo", "grpo", "ei", "eval"])
def test_a_config_file_is_where_settings_begin(
    house: House, started: list[Mapping[str, Any]], kind: str, tmp_path: Path
) -> None:
    file = tmp_path / "exp.toml"
    file.write_text("seed = 3\n[evaluation]\nn = 2\nlimit = 5\n")
    calls = {
        "sft": ("run", "sft"), "dpo": ("run", "dpo"), "grpo": ("run", "grpo"),
        "ei": ("run", "ei"), "eval": ("run", "eval"),
    }  # fmt: skip
    told = house.run(*calls[kind], "--config", str(file), "--eval-limit", "6")
    assert told.exit_code == 0, told.output
    (run,) = started
    assert (run["kind"], run["seed"], run["evaluation.n"], run["evaluation.limit"]) == (
        kind, 3, 2, 6,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("switch", "key", "value"),
    [
        ("--optimizer-reset", "ei.optimizer_reset", True),
        ("--no-dedup", "ei.deduplicate", False),
    ],
)
def test_switches_of_expert_iteration(
    house: House, started: list[Mapping[str, Any]], switch: str, key: str, value: bool
) -> None:
    assert house.run("run", "ei", switch).exit_code == 0
    assert started[0][key] is value


def call(path: tuple[str, ...], place: Path) -> list[str]:
    """A call with what it cannot do without."""
    run = walk.commands()[path].params[0]
    usual = ("a-run",) if run.param_type_name == "argument" and run.required else ()
    named = {name: str(place / file) for name, file in FILES.items()}
    named["cell"] = load_plan(place / "plan.toml").cells[0].id
    return [*path, *(text.format(**named) for text in NEEDED.get(path, usual))]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    line = {"prompt": "How many?", "completion": "3", "answer": "3"}
    (tmp_path / "dump.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "plan.toml").write_text("name = 'sizes'\n[base]\nkind = 'sft'\n")
    return tmp_path


@pytest.mark.parametrize("path", WHERE, ids=" ".join)
def test_every_command_goes_to_the_registry_it_is_told(
    house: House, place: Path, path: tuple[str, ...]
) -> None:
    house.home.mkdir()
    told = house.run(*call(path, place), "--registry", "mysql://far/away")
    assert told.exit_code == (1 if path == ("doctor",) else 2), told.output
    assert "mysql://far/away" in "".join(told.output.split())
    assert list(house.home.iterdir()) == []


@pytest.mark.parametrize("path", WHERE, ids=" ".join)
def test_every_command_goes_to_the_workspace_it_is_told(
    house: House, place: Path, path: tuple[str, ...]
) -> None:
    told = house.run(*call(path, place), "--home", str(place / "dump.jsonl"))
    assert told.exit_code == (1 if path == ("doctor",) else 2), told.output
    assert "dump.jsonl" in "".join(told.output.split())


def test_init_goes_to_the_workspace_it_is_told(house: House, tmp_path: Path) -> None:
    assert house.run("init", "--yes", "--home", str(tmp_path / "there")).exit_code == 0
    assert (tmp_path / "there" / "a5ctl.toml").is_file()
    assert not house.home.exists()


@pytest.mark.slow
def test_a_copy_is_made_of_the_workspace_it_is_told(house: House, tmp_path: Path) -> None:
    handmade.record(tmp_path, "sft-9", [evaluation([right(10)])])
    target = tmp_path / "copy.db"
    told = house.run("registry", "copy", "--home", str(tmp_path), "--to", str(target), "--quiet")
    assert told.exit_code == 0, told.output
    assert target.is_file()


@pytest.mark.parametrize("words", [("check", "--quick"), ("repair",), ("gc",), ("migrate",)])
def test_work_on_the_registry_can_be_quiet(tmp_path: Path, words: tuple[str, ...]) -> None:
    handmade.record(tmp_path, "sft-9", [evaluation([right(10)])])
    told = House(tmp_path, tmp_path, tmp_path).run("registry", *words, "--quiet")
    assert (told.exit_code, told.stderr) == (0, "")


@pytest.mark.slow
def test_other_work_can_be_quiet(tmp_path: Path) -> None:
    handmade.record(tmp_path, "sft-9", [evaluation([right(10), wrong(11)])])
    house = House(tmp_path, tmp_path, tmp_path)
    dump = tmp_path / "dump.jsonl"
    for words in (
        ("export", "responses", "sft-9", "--out", dump, "--quiet"),
        ("export", "sft-9", "--out", tmp_path / "sft-9.json", "--quiet"),
        ("registry", "backup", tmp_path / "copy.db", "--quiet"),
        ("regrade", "sft-9", "--quiet"),
        ("grade", dump, "--full", "--quiet"),
        ("close", "sft-9", "--json"),
    ):
        told = house.run(*words)
        assert told.exit_code == (2 if words[0] == "close" else 0), told.output
        assert words[0] in ("close",) or told.stderr == ""
    refused = house.run("pairs", "sft-9", "--out", tmp_path / "pairs.jsonl", "--quiet")
    assert refused.exit_code == 2


def test_an_import_takes_name_grader_and_template(tmp_path: Path) -> None:
    from core.prompts.template import load_prompt

    source = tmp_path / "sft_eval" / "8"
    source.mkdir(parents=True)
    answer = "so it is 3 </think> <answer> 3"
    row = {"prompt": load_prompt("think_answer").text.format(question="How many?"), "response":
           answer, "ground_truth": "3"}  # fmt: skip
    (source / "test_log.json").write_text(json.dumps([row]))
    house = House(tmp_path / "home", tmp_path, tmp_path)
    told = house.run(
        "import", tmp_path / "sft_eval", "--name", "theirs", "--grader", "strict",
        "--restore-stop", "--prompt", "think_answer", "--quiet",
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert told.stdout == ""
    registry = handmade.open_home(house.home)
    (found,) = registry.evaluations([registry.find_run("theirs").uuid])
    assert (found.grader, found.type1) == ("strict", 1)


@pytest.mark.slow
def test_a_question_in_sql_shows_as_many_rows_as_wanted(tmp_path: Path) -> None:
    for number in range(3):
        handmade.record(tmp_path, f"sft-{number}", [evaluation([right(10)])])
    told = House(tmp_path, tmp_path, tmp_path).run("sql", "select id from run", "--limit", "2")
    assert told.stdout.count("sft-") == 2


@pytest.mark.slow
def test_a_model_of_another_seed_has_other_weights(tmp_path: Path) -> None:
    from core.models import model_hash

    house = House(tmp_path, tmp_path, tmp_path)
    hashes = set()
    for seed in ("0", "1"):
        told = house.json(
            "model", "make", "--shape", "tiny", "--layers", "1", "--seed", seed,
            "--out", str(tmp_path / seed), "--quiet",
        )  # fmt: skip
        assert told["seed"] == int(seed)
        hashes.add(model_hash(Path(told["folder"])))
    assert len(hashes) == 2


def test_pretraining_takes_seed_and_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training itself stands in tests of its own."""
    seen: dict[str, Any] = {}

    def trained(out: Path, config: Any, **_: Any) -> float:
        seen["seed"] = config.seed
        out.mkdir()
        (out / "model.safetensors").write_bytes(b"12345")
        return 1.5

    monkeypatch.setattr("trainers.pretraining.pretrain", trained)
    monkeypatch.setattr("torch.set_num_threads", lambda count: seen.setdefault("threads", count))
    house = House(tmp_path, tmp_path, tmp_path)
    told = house.json(
        "model", "pretrain", "--out", str(tmp_path / "m"), "--seed", "4", "--threads", "1",
        "--tokens", "10", "--quiet",
    )  # fmt: skip
    assert seen == {"seed": 4, "threads": 1}
    assert (told["loss"], told["bytes"]) == (1.5, 5)
