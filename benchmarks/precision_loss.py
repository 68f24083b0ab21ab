"""What does the precision of training do to the loss, at a small and at the usual learning rate?

    OMP_NUM_THREADS=1 nice python benchmarks/precision_loss.py --seeds 0,1

Supervised fine-tuning of the built-in model on its own training problems, with one thread, in every
precision: the same start, the same examples in the same order. Float32 is run a second time with
transformers' own passes, which add up in another order: what differs there is chance. Two more
settings keep the moments of bfloat16 weights in float32, to show what their format costs. The
built-in model is stored in bfloat16, so that every precision starts from the same weights to the
last bit.

Every run is written down as it ends, and one that is there already is not made again. An update has
several micro-batches, so that bfloat16 gradients are added up as they are in practice. Figures of a
run: the mean loss of its last updates, the loss on problems of the dev split, how far its curve
lies from that of float32 (mean over the updates of |loss - loss in float32| / loss in float32), the
share of weights that a measured update left as they were by rounding, the share of weights that are
at the end what they were at the start, and how far the weights have come beside those of float32.
`accumulated` is how far the gradient of 32 examples in bfloat16 lies from that in float32, by the
number of micro-batches that it is added up from.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from core.config.schema import Schedule, TrainSettings  # noqa: E402
from core.data.load import load_data, nested_subset  # noqa: E402
from core.models import BUILTIN_PATH  # noqa: E402
from core.prompts.template import load_prompt  # noqa: E402
from trainers.batching import plan_batches  # noqa: E402
from trainers.objectives import SftLoss  # noqa: E402
from trainers.optimization import LearningRate, Optimizer, build_optimizer  # noqa: E402
from trainers.policy import Policy, load_policy  # noqa: E402
from trainers.precision import BFLOAT16, FLOAT32, MIXED, PRECISIONS, STOCHASTIC, Precision  # noqa: E402
from trainers.sft import SFT  # noqa: E402
from trainers.tokenization import Example, SourceText, encode_examples  # noqa: E402
from trainers.update_probe import UpdateProbe  # noqa: E402

RESULT = ROOT / "benchmarks/results/precision_loss.json"
BATCH, TRAINED, HELD_OUT, LAST = 4, 2048, 96, 25
MAX_LENGTH, MICROBATCH = 512, 512
ADDED_UP, PIECES = 32, (1, 2, 8, 32)
WIDE_MOMENTS = "moments in float32"
OTHER_SUMS = "float32, sums in another order"


@dataclass(frozen=True, slots=True)
class Curve:
    """One run."""

    losses: list[float]
    held_out: float
    unchanged_by_an_update: float
    unchanged_at_the_end: float
    weights: torch.Tensor
    seconds: float


def variants() -> dict[str, Precision]:
    """Every precision, float32 with its sums in another order, and bfloat16 with wider moments."""
    wide = {
        f"{precision.name}, {WIDE_MOMENTS}": replace(precision, moments=torch.float32)
        for precision in (STOCHASTIC, BFLOAT16)
    }
    return {**PRECISIONS, OTHER_SUMS: FLOAT32, **wide}


def encoded(split: str, count: int, policy: Policy) -> list[Example]:
    """The first problems of a split of the built-in data, in tokens."""
    template = load_prompt("think_answer")
    problems = nested_subset(load_data("builtin").split(split), count, 0)
    texts = [SourceText(p.id, template.prompt(p), template.target(p) or "") for p in problems]
    return encode_examples(texts, policy.tokenizer, max_length=MAX_LENGTH)


def trained(name: str, rate: float, seed: int, steps: int) -> Curve:
    """Make one run."""
    precision, quick = variants()[name], name != OTHER_SUMS
    policy = load_policy(BUILTIN_PATH, device="cpu", precision=precision.name, quick=quick)
    examples, unseen = encoded("train", TRAINED, policy), encoded("dev", HELD_OUT, policy)
    settings = TrainSettings(lr=rate, steps=steps, batch_size=BATCH)
    named = list(policy.model.named_parameters())
    optimizer = build_optimizer(named, settings, precision=precision, seed=seed)
    probe = UpdateProbe(optimizer.adamw).attach()
    method = _method(policy, optimizer, examples, settings, seed)
    before = _flat(policy)
    losses, shares, started = [], [], time.perf_counter()
    for step in range(1, steps + 1):
        probe.arm(step)
        losses.append(method.update(step)["loss"])
        if (share := probe.share()) is not None:
            shares.append(share)
    seconds = time.perf_counter() - started
    after = _flat(policy)
    moved = after - before
    same = float((moved == 0).double().mean())
    return Curve(losses, _loss(policy, unseen), fmean(shares), same, moved, seconds)


def _method(
    policy: Policy,
    optimizer: Optimizer,
    examples: Sequence[Example],
    settings: TrainSettings,
    seed: int,
) -> SFT:
    plan = plan_batches(examples, settings, BATCH, seed)
    rate = LearningRate(settings.lr or 0.0, Schedule.COSINE, 0.05, 0.1, plan.total)
    return SFT(policy, optimizer, rate, examples, plan, settings, MICROBATCH)


def _flat(policy: Policy) -> torch.Tensor:
    return torch.cat([p.detach().float().flatten() for p in policy.model.parameters()])


def _loss(policy: Policy, examples: Sequence[Example]) -> float:
    """Mean over all supervised tokens, in nats."""
    parts = [policy.log_probs(batch).log_probs for batch in policy.split(examples, MICROBATCH)]
    return -float(torch.cat(parts).double().mean())


def figures(curve: Curve, reference: Curve) -> dict[str, float]:
    """Of one run beside float32's."""
    pairs = list(zip(curve.losses, reference.losses, strict=True))
    distance = float(curve.weights.norm() / reference.weights.norm())
    direction = torch.nn.functional.cosine_similarity(curve.weights, reference.weights, dim=0)
    return {
        "first_loss": curve.losses[0],
        "final_train_loss": fmean(curve.losses[-LAST:]),
        "held_out_loss": curve.held_out,
        "mean_gap": fmean(abs(mine - other) / other for mine, other in pairs),
        "largest_gap": max(abs(mine - other) / other for mine, other in pairs),
        "unchanged_by_an_update": curve.unchanged_by_an_update,
        "unchanged_at_the_end": curve.unchanged_at_the_end,
        "distance_beside_float32": distance,
        "cosine_with_float32": float(direction),
        "seconds": curve.seconds,
    }


def accumulated(pieces: int) -> float:
    """Distance of a gradient in bfloat16 from that in float32, as a share of its length.

    Both are of the same weights, products in bfloat16, and examples that come in so many
    micro-batches.
    """
    found = []
    for precision in (MIXED, STOCHASTIC):
        policy = load_policy(BUILTIN_PATH, device="cpu", precision=precision.name)
        examples = encoded("train", ADDED_UP, policy)
        size = len(examples) // pieces
        for begin in range(0, len(examples), size):
            policy.accumulate(examples[begin : begin + size], SftLoss(1000.0))
        gradients = [p.grad for p in policy.model.parameters() if p.grad is not None]
        found.append(torch.cat([gradient.double().flatten() for gradient in gradients]))
    return float((found[1] - found[0]).norm() / found[0].norm())


def main() -> None:
    """Make the runs that are missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--rates", default="1e-5,6e-4", help="peak learning rates")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    done = json.loads(given.out.read_text()) if given.out.exists() else {"runs": {}}
    done |= {"steps": given.steps, "batch_size": BATCH, "torch": torch.__version__}
    if "accumulated" not in done:
        done["accumulated"] = {str(pieces): accumulated(pieces) for pieces in PIECES}
        print(json.dumps(done["accumulated"]), flush=True)
    references: dict[tuple[float, int], Curve] = {}
    rates = [float(rate) for rate in given.rates.split(",")]
    seeds = [int(seed) for seed in given.seeds.split(",")]
    wanted = [(*case, name) for name in variants() for case in product(rates, seeds)]
    for rate, seed, name in sorted(wanted, key=_turn):
        key = f"{name} at {rate:g}, seed {seed}"
        if key in done["runs"]:
            continue
        if (rate, seed) not in references:
            references[rate, seed] = trained(FLOAT32.name, rate, seed, given.steps)
        reference = references[rate, seed]
        same = name == FLOAT32.name
        curve = reference if same else trained(name, rate, seed, given.steps)
        about = {"precision": name, "rate": rate, "seed": seed}
        done["runs"][key] = about | figures(curve, reference)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(done, indent=1) + "\n")
        print(key, json.dumps(done["runs"][key]), flush=True)
    print(table(done["runs"]))


def _turn(case: tuple[float, int, str]) -> tuple[int, bool, float]:
    """Precisions that can be asked for come first, seed by seed."""
    rate, seed, name = case
    return seed, name not in PRECISIONS, rate


def table(runs: dict[str, dict]) -> str:
    """Means over seeds, as Markdown."""
    columns = {
        "final_train_loss": ("loss, last updates", "{:.4f}"),
        "held_out_loss": ("held-out loss", "{:.4f}"),
        "mean_gap": ("gap to float32", "{:.2%}"),
        "unchanged_by_an_update": ("left by an update", "{:.1%}"),
        "unchanged_at_the_end": ("left by the run", "{:.1%}"),
        "distance_beside_float32": ("distance", "{:.2f}"),
        "cosine_with_float32": ("cosine", "{:.2f}"),
    }
    lines = ["| rate | precision | " + " | ".join(title for title, _ in columns.values()) + " |"]
    lines.append("| --- | --- |" + " --- |" * len(columns))
    for rate in sorted({run["rate"] for run in runs.values()}):
        for name in variants():
            alike = [r for r in runs.values() if (r["rate"], r["precision"]) == (rate, name)]
            if alike:
                cells = [
                    form.format(fmean(r[key] for r in alike)) for key, (_, form) in columns.items()
                ]
                lines.append(f"| {rate:g} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
