"""SFT on one CUDA GPU: packed rows against padded ones by transformers, and TRL where installed.

    python benchmarks/gpu_sft.py --shape 0.5b --shape 1.5b
    python benchmarks/gpu_sft.py --device cpu --tiny        # a dry run: its figures mean nothing

Random weights of Qwen2.5 shapes, and examples whose lengths are drawn once (prompts of 60 to 260
tokens, responses around 110, both seeded), the same for every side. Each side runs in a fresh
process, in turn with the others, and reports medians over its timed optimizer steps:

    packed                ours: rows without padding, bfloat16 autocast over float32 weights
    packed-bf16           the same with bfloat16 weights and moments
    packed-compiled       `packed` with every decoder layer compiled; its compile time is reported
    packed-bf16-compiled  both
    padded                transformers' own forward and loss on padded micro-batches, else `packed`
    trl-*                 TRL's SFTTrainer in four configurations, where TRL is installed

Ours is `trainers.policy.Policy` as a run uses it, with the kernels that are chosen on the machine.

MFU counts the work that is needed: 6 FLOPs per weight and token in the layers, the same for the
vocabulary at supervised tokens alone, and causal attention within examples. So padding and
unsupervised logits lower it. It is given against the datasheet's bf16 rate (--peak) and against a
matrix product measured in the same process.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainers.policy import Policy

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.gpu_sft_trl import TRL_SIDES, run_trl  # noqa: E402
from benchmarks.gpu_sft_work import (  # noqa: E402
    SHAPES,
    Job,
    Tokens,
    build_model,
    draw_examples,
    flops_of,
    product_rate,
    wait,
)
from core.units import GIB  # noqa: E402

OUR_SIDES = ("packed", "packed-bf16", "packed-compiled", "packed-bf16-compiled", "padded")
# gradients of a step; its loss is read when the step is over
Forward = Callable[[Sequence[Tokens], float], Callable[[], float]]
# of the weights, by the number of the step
Update = Callable[[int], object]
_RATE = 1e-5


def our_policy(job: Job, notes: dict[str, Any]) -> "Policy":
    """A model as a run has it: kernels chosen by trial here, layers compiled if asked."""
    from trainers.compile_setup import compiled_layers
    from trainers.packed.prepare import prepare_packed
    from trainers.policy import Policy
    from trainers.precision import BFLOAT16, MIXED

    device = torch.device(job.device)
    precision = BFLOAT16 if "bf16" in job.side else MIXED
    model = build_model(job.shape, device, precision.weights)
    policy = Policy(model, None, device, precision)
    policy.packing = prepare_packed(model, precision.compute)
    if not policy.packed:
        raise SystemExit(policy.packing.reason)
    if "compiled" in job.side:
        policy.compilation = compiled_layers(policy, job.row_tokens)
        if not policy.compilation.on:
            raise SystemExit(policy.compilation.reason)
        notes["compile_seconds"] = policy.compilation.seconds
    return policy


def packed_forward(policy: "Policy", job: Job, notes: dict[str, Any]) -> Forward:
    """Backward passes over the rows of a step as `trainers.sft` makes them, returning its loss."""
    from trainers.accumulated import settled
    from trainers.objectives import SftLoss

    def step(examples: Sequence[Any], denominator: float) -> Callable[[], float]:
        rows = list(policy.split_apart(examples, job.row_tokens))
        policy.ahead(rows)
        done = [policy.accumulate(row, SftLoss(denominator)) for row in rows]
        notes.update(policy.choices)
        return lambda: sum(part.loss for part in settled(done))

    return step


def padded_forward(model: Any, job: Job) -> Forward:
    """The usual loop: padded micro-batches in the order given, labels and loss of transformers."""
    device = torch.device(job.device)

    def step(examples: Sequence[Tokens], denominator: float) -> Callable[[], float]:
        losses = []
        for start in range(0, len(examples), job.microbatch):
            part = examples[start : start + job.microbatch]
            width = max(len(one.token_ids) for one in part)
            ids = torch.zeros(len(part), width, dtype=torch.int64)
            labels = torch.full((len(part), width), -100)
            for row, one in enumerate(part):
                tokens, marks = torch.tensor(one.token_ids), torch.tensor(one.supervised)
                ids[row, : len(tokens)] = tokens
                labels[row, : len(tokens)] = torch.where(marks, tokens, -100)
            lengths = torch.tensor([len(one.token_ids) for one in part])
            mask = (torch.arange(width) < lengths.unsqueeze(1)).long()
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=True):
                loss = model(
                    input_ids=ids.to(device),
                    attention_mask=mask.to(device),
                    labels=labels.to(device),
                    num_items_in_batch=torch.tensor(denominator, device=device),
                    use_cache=False,
                ).loss
            loss.backward()
            losses.append(loss.detach())
        return lambda: float(torch.stack(losses).sum())

    return step


def plain_update(model: Any) -> Update:
    """torch's own AdamW and clipping."""
    fused = next(model.parameters()).is_cuda
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.0, fused=fused)

    def update(step: int) -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return update


def our_update(policy: "Policy", notes: dict[str, Any]) -> Update:
    """The optimizer of a run in the policy's precision."""
    from core.config.schema import TrainSettings
    from trainers.optimization import build_optimizer

    named = policy.model.named_parameters()
    optimizer = build_optimizer(named, TrainSettings(), precision=policy.precision)
    notes["optimizer"] = optimizer.how
    return lambda step: optimizer.update(_RATE, step)


def run_ours(job: Job, examples: Sequence[Tokens]) -> dict[str, Any]:
    """Train for warmup + steps optimizer steps, and report the timed ones."""
    device = torch.device(job.device)
    notes: dict[str, Any] = {}
    if job.side == "padded":
        model = build_model(job.shape, device, torch.float32)
        policy, forward = None, padded_forward(model, job)
    else:
        policy = our_policy(job, notes)
        model, forward = policy.model, packed_forward(policy, job, notes)
    update = plain_update(model) if policy is None else our_update(policy, notes)
    on_gpu = device.type == "cuda"
    batches = [
        examples[number * job.batch : (number + 1) * job.batch]
        for number in range(job.warmup + job.steps)
    ]
    seconds, losses = [], []
    for number, batch in enumerate(batches):
        wait(device)
        if on_gpu and number == job.warmup:  # trials of kernels are behind it
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        loss = forward(batch, float(sum(sum(one.supervised[1:]) for one in batch)))
        if policy is not None and number + 1 < len(batches):  # as `SFT.update` does
            policy.ahead(list(policy.split_apart(batches[number + 1], job.row_tokens)))
        update(number + 1)
        losses.append(loss())
        wait(device)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "losses": losses, **notes}


def one_process(job: Job, peak: float) -> dict[str, Any]:
    """Run a side and turn its seconds into rates."""
    device = torch.device(job.device)
    shape = SHAPES[job.shape]
    shrink = 8 if job.shape == "tiny" else 1
    count = job.batch * (job.warmup + job.steps)
    examples = draw_examples(count, shape.vocab_size, shrink)
    rate = product_rate(device, 256 if job.shape == "tiny" else 8192)
    if job.side in TRL_SIDES:
        narrow = job.side.endswith("bf16")
        model = build_model(job.shape, device, torch.bfloat16 if narrow else torch.float32)
        result = run_trl(job.side, model, examples, asdict(job))
    else:
        result = run_ours(job, examples)
    timed = examples[job.warmup * job.batch :]
    spent = sum(result["seconds"][job.warmup :])
    tokens = sum(len(one.token_ids) for one in timed)
    flops = flops_of(job.shape, timed) / spent
    on_gpu = device.type == "cuda"
    return {
        **result,
        "tokens_per_second": tokens / spent,
        "mfu_datasheet": flops / (peak * 1e12),
        "mfu_measured_product": flops / rate,
        "product_tflops": rate / 1e12,
        "peak_memory_gib": torch.cuda.max_memory_allocated() / GIB if on_gpu else None,
        "gpu": torch.cuda.get_device_name() if on_gpu else None,
        "torch": torch.__version__,
    }


def in_fresh_process(job: Job, peak: float) -> dict[str, Any]:
    """The figures of a side, or the end of its error: one that fails must not stop the others."""
    command = [sys.executable, __file__, "--job", json.dumps(asdict(job)), "--peak", str(peak)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:]}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def merged(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the processes of a side; the first one's notes."""
    good = [run for run in runs if "failed" not in run]
    if not good:
        return runs[0]
    rates = ("tokens_per_second", "mfu_datasheet", "mfu_measured_product", "peak_memory_gib")
    medians = {
        name: statistics.median(run[name] for run in good)
        for name in rates
        if good[0][name] is not None
    }
    return {**good[0], **medians, "runs": len(good), "failures": len(runs) - len(good)}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    parser.add_argument("--side", action="append", choices=[*OUR_SIDES, *TRL_SIDES])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, few short examples")
    parser.add_argument("--batch", type=int, default=64, help="examples per optimizer step")
    parser.add_argument("--microbatch", type=int, default=16, help="rows of a padded batch")
    parser.add_argument("--row-tokens", type=int, default=16_384, help="budget of a packed row")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peak", type=float, default=989.0, help="dense bf16 TFLOP/s; H200's 989")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/gpu_sft.json")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run every side in turn, print a table, and write the figures."""
    given = parse()
    if given.job:
        print(json.dumps(one_process(Job(**json.loads(given.job)), given.peak)))
        return
    has_trl = importlib.util.find_spec("trl") is not None
    sides = given.side or [*OUR_SIDES, *(TRL_SIDES if has_trl else ())]
    if given.tiny:
        shapes, sizes = ["tiny"], (8, 4, 128, 1, 2)
    else:
        shapes = given.shape or ["0.5b", "1.5b"]
        sizes = (given.batch, given.microbatch, given.row_tokens, given.warmup, given.steps)
    figures: dict[str, dict[str, Any]] = {}
    for shape in shapes:
        jobs = {side: Job(shape, side, given.device, *sizes) for side in sides}
        taken: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for _ in range(given.repeat):
            for side, job in jobs.items():
                taken[side].append(in_fresh_process(job, given.peak))
        figures[shape] = {side: merged(runs) for side, runs in taken.items()}
        for side, result in figures[shape].items():
            kept = ("tokens_per_second", "mfu_datasheet", "peak_memory_gib", "losses", "failed")
            print(shape, side, {name: result[name] for name in kept if name in result}, flush=True)
    given.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
