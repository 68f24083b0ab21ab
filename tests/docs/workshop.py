"""A workspace in which every printed line that trains or asks a model can be carried out.

Lines get words of their own behind what is printed, the last of which count: a small random
model, small data, one update. What cannot be had here is left out: further GPUs, kernels of CUDA,
a compiler, the hub, vLLM.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from core.config.methods import KeepRollouts
from core.data.files import read_problems
from core.plans.load import load_plan
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.rollouts import RolloutBatch
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House, small_house, write_problems
from tests.a5ctl.handmade import right, wrong
from tests.a5ctl.test_pairs import asked
from tests.a5ctl.test_tasks import write_choices
from tests.core.interchange.test_readers import FILES, WANDB, store, write_logs
from tests.rollouts import rollout

_ASKS = ("--engine", "hf", "--max-tokens", "4", "--eval-limit", "2")
_LEARNS = (*_ASKS, "--threads", "1", "--set", "evaluation.at_start=false")
_SAMPLES = (*_LEARNS, "--rollout-max-tokens", "6")
_FEW = {
    "sft": (*_LEARNS, "--steps", "1", "--batch-size", "2"),
    "dpo": (*_LEARNS, "--steps", "1", "--batch-size", "2"),
    "grpo": (*_SAMPLES, "--steps", "1", "--rollout-batch", "4", "--group-size", "2"),
    "ei": (*_SAMPLES, "--ei-steps", "1", "--questions", "2", "--rollouts", "2"),
    "eval": _ASKS,
}
"""What makes a run of a kind small."""

_NOT_HERE = ("--gpus", "--placement", "--compile", "--attention", "--mirror")
"""Options, with a value each, for which other tests have what they need."""

_STANDS_FOR = {
    "RUN": "sft-256-k3f9",
    "RUN2": "sft-256-m2x7",
    "RUN[:STEP]": "sft-256-k3f9:48",
    "two": "sft-256-k3f9",
    "base": "sft-256-k3f9",
    "lr 0.002 seed 0": "sft-256-k3f9",
    "killed": "sft-256-k3f9",
    "sampled-0": "eval-m2x7",
    "pairs-0.jsonl": "pairs.jsonl",
    "sft-16-9kkq": "sft-256-m2x7",
    "Qwen/Qwen2.5-0.5B": "model",
}
_PLAN = """
name = "size by supervision"
seeds = [0]
[base]
kind = "sft"
model.source = "model"
data.source = "data"
train.batch_size = 4
evaluation.engine = "hf"
evaluation.max_tokens = 4
evaluation.limit = 2
evaluation.at_start = false
[axes]
"data.size" = [256]
[groups.A]
[groups.B]
"train.supervise" = "answer"
[budget]
same = "updates"
amount = 1
"""


def at_hand(words: Sequence[str]) -> list[str]:
    """The words of a printed line, behind `a5ctl`, with what makes it small."""
    found = [_STANDS_FOR.get(word, word) for word in _without_what_is_elsewhere(words)]
    if found[0] == "run":
        return _replaced(found, _small_run(found[1], found))
    if found[:2] == ["model", "make"]:
        tiny = ["--shape", "tiny", "--layers", "1", "--out", "made", "--data", "data"]
        return _replaced(found, tiny)
    if found[0] == "probe":
        return _replaced(found, ["--limit", "2", "--max-tokens", "8,12"])
    return found


def _replaced(words: Sequence[str], more: Sequence[str]) -> list[str]:
    """The words without those that the further ones, each with a value, take the place of."""
    gone = {word for word in more if word.startswith("--")} - {"--set"}
    if "--steps" in gone:
        gone |= {"--epochs"}
    pairs = zip(("", *words), words, strict=False)
    return [*(word for before, word in pairs if not gone & {before, word}), *more]


def _small_run(kind: str, words: Sequence[str]) -> list[str]:
    more = list(_FEW[kind])
    if not {"--init", "--run"} & set(words):
        more += ["--model", "model"]
    if "path/to/mmlu" not in words:
        more += ["--data", "data"]
    if kind != "eval" and kind != "dpo":
        sizes = words[words.index("--size") + 1].count(",") if "--size" in words else 0
        more += ["--size", "4,8" if sizes else "8"]
    if "--name" in words:  # runs of the page's names are there
        more += ["--name", words[words.index("--name") + 1] + "-here"]
    if "--train-batch" in words:
        more += ["--train-batch", "4"]
    if "--seed" in words and "," in words[words.index("--seed") + 1]:
        more += ["--seed", "0,1"]
    return more


def _without_what_is_elsewhere(words: Sequence[str]) -> list[str]:
    found: list[str] = []
    for before, word in zip(("", *words), words, strict=False):
        if word not in _NOT_HERE and before not in _NOT_HERE:
            found.append(word)
    return found


def furnish(folder: Path, home: Path) -> House:
    """Make the workspace, with all that the lines name.

    Args:
        folder: Has the small model.
        home: The workspace, empty, which is the current folder.
    """
    (home / "model").symlink_to(folder / "model")
    for place in ("data", "path/to/gsm8k"):
        (home / place).mkdir(parents=True)
        write_problems(home / place / "train.jsonl", 300)
        write_problems(home / place / "test.jsonl", 12, offset=300)
        write_problems(home / place / "dev.jsonl", 12, offset=320)
    for split in ("test", "val"):
        write_choices(home / "path/to/mmlu" / split / f"sums_{split}.csv", 3)
    for name in ("plan.toml", "rates.toml"):
        (home / name).write_text(_PLAN, encoding="utf-8")
    _leave_files_of_other_tools(home)
    house = small_house(folder, home)
    trained = (*_FEW["sft"], "--model", "model", "--data", "data", "--size", "8", "--quiet")
    long = ("--steps", "50", "--eval-every", "48", "--set", "train.checkpoint_every=48")
    for name in ("sft-256-k3f9", "sft-256-m2x7"):
        _do(house, "run", "sft", *trained, *long, "--keep-best", "1", "--name", name)
    for name in ("sft-128-k3f9", "sft-full-k3f9", "large"):
        _do(house, "run", "sft", *trained, "--name", name)
    _do(house, "run", "grpo", *_small_run("grpo", ("--size", "8")), "--quiet", "--name", "g")
    _do(house, "plan", "cell", "plan.toml", load_plan(home / "plan.toml").cells[-1].id)
    _sample(home)
    _do(house, "protocol", "show", "sft-256-k3f9", "--out", "house.toml")
    _do(house, "pairs", "eval-m2x7", "--out", "pairs.jsonl")
    return house


def _do(house: House, *words: str) -> None:
    told = house.run(*words)
    assert told.exit_code == 0, (words, told.output)


def _leave_files_of_other_tools(home: Path) -> None:
    shutil.copytree(WANDB, home / "wandb" / WANDB.name)
    shutil.copytree(FILES / "tensorboard", home / "logs" / "tensorboard")
    store(home)
    write_logs(home / "results" / "sft_eval")


def _sample(home: Path) -> None:
    """Runs that sampled several responses to a question, of which some are right."""
    handmade.record(home, "eval-m2x7", [asked("train")], kind="eval")
    problems = read_problems(home / "data" / "train.jsonl", "data-train")[:2]
    registry = handmade.open_home(home)
    config = {"kind": "grpo", "data": {"source": os.fspath(home / "data")}}
    new = NewRun("grpo", config, "c", "m", "data", id="grpo-p4t8")
    run = registry.create_run(new)
    with Recorder(registry, run.uuid, home / "runs" / run.id) as recorder:
        rollouts = [
            rollout(text, problem, sample=sample)
            for problem in problems
            for sample, (text, _) in enumerate((right(int(problem.truth)), wrong(0)))
        ]
        made = RolloutBatch(0, 1, tuple(problems), 2, tuple(rollouts))
        recorder.rollouts(made, KeepRollouts.TEXT)
    registry.close()
