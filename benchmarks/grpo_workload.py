"""What the GRPO benchmark trains: the built-in model behind SFT-128, and the same prompts for both.

    python benchmarks/grpo_workload.py --out FOLDER

The model is a checkpoint of `a5ctl run sft --size 128`, made once: a policy that knows the format
and solves part of the problems, which is where GRPO starts. Responses end by EOS, because TRL
stops at no string; under a learning rate of 1e-6 the policy stays what it was, so that the lengths
of both sides have one distribution. In `fixed` every response has exactly so many tokens.
"""

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from core.config.load import build_config  # noqa: E402
from core.config.schema import RunConfig  # noqa: E402

LEARNING_RATE = 1e-6
GROUP = 8
_CAP = 256


@dataclass(frozen=True, slots=True)
class GrpoWorkload:
    """How much is sampled and learned from.

    Attributes:
        name: For people and for the file of results.
        rollouts: Responses of a batch, in groups of eight.
        fixed: Tokens of every response; None lets them end as they like, up to 256.
        warmup: First steps, whose time does not count.
        steps: Steps in all.
    """

    name: str
    rollouts: int
    fixed: int | None
    warmup: int
    steps: int

    @property
    def cap(self) -> int:
        """Most new tokens of a response."""
        return self.fixed or _CAP


GRPO_WORKLOADS = {
    work.name: work
    for work in (
        GrpoWorkload("natural-64", 64, None, 1, 4),
        GrpoWorkload("natural-256", 256, None, 1, 3),
        GrpoWorkload("fixed-64", 64, 128, 1, 4),
    )
}


def grpo_settings(work: GrpoWorkload, folder: Path, **changes: object) -> RunConfig:
    """Our configuration: on-policy GRPO with TRL's optimizer settings, and no evaluation.

    Args:
        work: What is sampled.
        folder: Where `prepare_grpo` has put the model.
        changes: Settings by dotted key with `__` for the dot, such as `train__threads=1`.
    """
    tree: dict[str, dict[str, object]] = {
        "model": {"source": str(folder / "model"), "device": "cpu"},
        "train": {
            "precision": "float32",
            "lr": LEARNING_RATE,
            "schedule": "constant",
            "warmup": 0.0,
            "beta2": 0.999,
            "checkpoint_every": work.steps,
        },
        "rollout": {
            "per_question": GROUP,
            "max_tokens": work.cap,
            "min_tokens": work.fixed or 0,
            "stop": [],
        },
        "grpo": {"steps": work.steps, "rollout_batch": work.rollouts},
        "evaluation": {"at_start": False, "limit": 1, "engine": "hf", "max_tokens": _CAP},
    }
    for key, value in changes.items():
        section, name = key.split("__")
        tree[section][name] = value
    return build_config({"kind": "grpo", **tree})


def prepare_grpo(folder: Path) -> Path:
    """Make the model and the peer's prompts, once; takes a minute or two of training."""
    if not (folder / "model").exists():
        _train(folder)
    if not (folder / "prompts.jsonl").exists():
        _write_prompts(folder)
    return folder


def _train(folder: Path) -> None:
    from core.registry.store import open_registry
    from core.workspace import Workspace
    from trainers.checkpoint import newest_whole
    from trainers.execute import House, start
    from trainers.observer import Observer
    from trainers.prepare import prepare

    workspace = Workspace(folder / "workspace")
    workspace.root.mkdir(parents=True, exist_ok=True)
    registry = open_registry(workspace.registry_url())
    tree = {
        "kind": "sft",
        "data": {"size": 128},
        "evaluation": {"at_start": False, "limit": 64, "engine": "hf"},
    }
    house = House(workspace, registry, Observer(), sys.argv)
    outcome = start(prepare(build_config(tree), workspace, registry), house)
    registry.close()
    found, _ = newest_whole(workspace.run_folder(outcome.run_id) / "checkpoints")
    if found is None:
        raise SystemExit(f"the model could not be made: {outcome.message}")
    shutil.copytree(found, folder / "model")


def _write_prompts(folder: Path) -> None:
    """Prompts and truths in the order in which our run asks them."""
    from core.registry.store import open_registry
    from core.workspace import Workspace
    from trainers.prepare import prepare
    from trainers.rollouts import QuestionOrder

    workspace = Workspace(folder / "workspace")
    registry = open_registry(workspace.registry_url())
    prepared = prepare(grpo_settings(GRPO_WORKLOADS["natural-64"], folder), workspace, registry)
    registry.close()
    order = QuestionOrder(len(prepared.train), prepared.config.seed)
    rows = [
        {"prompt": prepared.template.prompt(problem), "truth": problem.truth}
        for problem in (prepared.train[index] for index in order.batch(0, len(prepared.train)))
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "prompts.jsonl").write_text(text, encoding="utf-8")


def main() -> None:
    """Make the files and say where they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    from a5ctl.process import prepare_process

    prepare_process()
    print(prepare_grpo(parser.parse_args().out.resolve()))


if __name__ == "__main__":
    main()
