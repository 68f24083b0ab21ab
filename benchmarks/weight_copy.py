"""Copying the live policy into vLLM, beside copying as many bytes from memory to memory.

    python benchmarks/weight_copy.py --models builtin 50m 166m --dtypes float32 bfloat16

Each model and engine precision gets a process of its own, with one thread; time is processor time,
which other work on the machine moves little, and wall time is stored beside it. In turn, with one
short generation after each, as in a run:

- `copy`: the copy as a run makes it before an evaluation or rollouts (names and shapes checked, all
  weights laid down, prefix cache emptied, part of the layers read back);
- `memory`: a plain copy of the policy's tensors into tensors that exist already.

The first generation after a copy also packs the layers; `packing` is what it takes more than the
next. `compared` is a copy after which the engine's answers are compared with the policy's, packing
included, and `mean` the mean over the 64 copies of which one is compared. `reload` is the same copy
when vLLM's reload is the only way in; it packs within the copy, and is always compared. `first` and
`second` are the first copy, a reload, and the second, which rehearses.

After the measurement the prefix cache is put to the test: with other weights a prompt that was
asked before must be answered otherwise, and with the first weights again as it was at first.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.timing import python, summary, write  # noqa: E402

MODELS = ("builtin", "50m", "166m")
DTYPES = ("float32", "bfloat16")
BAR = 3.0
COMPARED = 5  # copies that are compared, and reloads: each takes ten times as long
_PROMPT = " ".join(f"A{i} has {i} apples and gets {i + 3} more." for i in range(24))


def model_folder(name: str, folder: Path) -> Path:
    """The built-in model, or one with random weights and the built-in tokenizer."""
    from core.models import BUILTIN_PATH, load_tokenizer

    if name == "builtin":
        return Path(BUILTIN_PATH)
    import shutil
    from dataclasses import replace

    import torch

    from benchmarks.sft_workload import WORKLOADS
    from trainers.random_model import random_weights, save_model

    shape = WORKLOADS["50m" if name == "50m" else "05b"].shape
    if shape is None:
        raise ValueError(f"{name} has no shape")
    folder.mkdir(parents=True)
    for path in BUILTIN_PATH.glob("tokenizer*"):
        shutil.copy(path, folder)
    shape = replace(shape, max_position_embeddings=1024)
    size = len(load_tokenizer(folder))
    save_model(shape, random_weights(shape, 0), folder, torch.float32, size)
    return folder


Seconds = dict[str, float]
Clocked = dict[str, dict[str, float]]


def seconds(call: Callable[[], None]) -> Seconds:
    """What one call takes, by both clocks."""
    clocks = {"cpu": time.process_time, "wall": time.perf_counter}
    before = {clock: now() for clock, now in clocks.items()}
    call()
    return {clock: now() - before[clock] for clock, now in clocks.items()}


def timed(rounds: int, **calls: Callable[[], None]) -> dict[str, list[Seconds]]:
    """Seconds of every call, taken in turn."""
    taken: dict[str, list[Seconds]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    return taken


def clocked(taken: list[Seconds]) -> Clocked:
    """Median and minimum by each clock."""
    return {clock: summary([one[clock] for one in taken]) for clock in ("cpu", "wall")}


def in_place(
    engine: Any,
    copy: Callable[[], None],
    memory: Callable[[], None],
    use: Callable[[], None],
    *,
    rounds: int,
) -> dict[str, list[Seconds]]:
    """Copies straight into the layers, beside plain ones."""
    from core.engines.vllm_copy import CANARY_EVERY

    taken: dict[str, list[Seconds]] = {"first": [seconds(copy)], "second": [seconds(copy)]}
    if not engine._copies.in_place:
        raise RuntimeError(f"not written into the layers: {engine._copies.refused}")
    use()
    turns = timed(rounds + 1, copy=copy, first_use=use, memory=memory, second_use=use)
    taken |= {name: spent[1:] for name, spent in turns.items()}
    taken["packing"] = [
        {clock: one[clock] - other[clock] for clock in one}
        for one, other in zip(taken.pop("first_use"), taken.pop("second_use"), strict=True)
    ]
    taken["compared"] = []
    for _ in range(COMPARED):
        engine._copies._done = 1 + CANARY_EVERY
        taken["compared"].append(seconds(copy))
        use()
    return taken


def reloads(
    engine: Any, copy: Callable[[], None], memory: Callable[[], None], use: Callable[[], None]
) -> dict[str, list[Seconds]]:
    """The same copies when vLLM's reload is the only way in."""
    from core.engines.vllm_copy import WeightCopies

    usual, engine._copies = engine._copies, WeightCopies(engine.dtype, on_cpu=False)
    copy()
    turns = timed(COMPARED, reload=copy, first=use, memory=memory, second=use)
    engine._copies = usual
    return {"reload": turns["reload"], "memory_beside_reload": turns["memory"]}


def cache_is_fresh(engine: Any, weights: dict[str, Any]) -> dict[str, bool]:
    """Ask the same prompt under one policy, under another, and under the first again."""
    from core.engines.base import Sampling

    other = {key: tensor.clone() for key, tensor in weights.items()}
    for key, tensor in other.items():
        if "v_proj.weight" in key or "down_proj.weight" in key:
            tensor.neg_()
    answers = []
    for given in (weights, other, weights):
        engine.load_weights(iter(given.items()))
        sampling = Sampling(max_tokens=24, temperature=0.0)
        answers.append(engine.generate([_PROMPT], sampling)[0][0].token_ids)
    return {
        "answer_changes": answers[0] != answers[1],
        "comes_back": answers[0] == answers[2],
    }


def measure(name: str, dtype: str, rounds: int) -> dict[str, Any]:
    """All figures of one model and precision; meant for a process of its own."""
    from a5ctl.process import prepare_process

    prepare_process()
    import torch

    from core.engines.base import Sampling
    from core.engines.vllm import VllmEngine
    from trainers.policy import load_policy

    with tempfile.TemporaryDirectory() as scratch:
        folder = model_folder(name, Path(scratch) / "model")
        policy = load_policy(folder, device="cpu", precision="float32")
        engine = VllmEngine(
            folder, dtype=dtype, device="cpu", max_model_len=640, dummy_weights=True
        )
        weights = dict(policy.named_weights())
        source = list({tensor.data_ptr(): tensor for tensor in weights.values()}.values())
        room = [torch.empty_like(tensor) for tensor in source]

        def memory() -> None:
            for target, tensor in zip(room, source, strict=True):
                target.copy_(tensor)

        def copy() -> None:
            engine.load_weights(policy.named_weights())

        def use() -> None:
            engine.generate(["Tom"], Sampling(max_tokens=1))

        calls = (engine, copy, memory, use)
        taken = {**in_place(*calls, rounds=rounds), **reloads(*calls)}
        cache = cache_is_fresh(engine, weights)
        engine.close()
    seconds_of = {name: clocked(spent) for name, spent in taken.items()}
    size = sum(tensor.numel() * tensor.element_size() for tensor in source)
    return {
        "seconds": seconds_of,
        "ratio": {clock: ratios(seconds_of, clock) for clock in ("cpu", "wall")},
        "cache": cache,
        "bytes": size,
        "threads": torch.get_num_threads(),
    }


def ratios(found: dict[str, Clocked], clock: str) -> dict[str, float]:
    """How many times as long as in memory."""
    from core.engines.vllm_copy import CANARY_EVERY

    middle = {name: one[clock]["median"] for name, one in found.items()}
    mean = middle["copy"] + (middle["compared"] - middle["copy"]) / CANARY_EVERY
    return {
        "copy": middle["copy"] / middle["memory"],
        "mean": mean / middle["memory"],
        "packing": middle["packing"] / middle["memory"],
        "compared": middle["compared"] / middle["memory"],
        "reload": middle["reload"] / middle["memory_beside_reload"],
    }


def earlier() -> dict[str, Any]:
    """Figures of what is not measured this time; the large models take long."""
    path = ROOT / "benchmarks" / "results" / "weight_copy.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))["models"]) if path.exists() else {}


def main() -> None:
    """Measure every model in a process of its own, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--dtypes", nargs="*", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--rounds", type=int, default=25, help="copies that count")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one, given.rounds)))
        return
    figures = earlier()
    for name in given.models:
        for dtype in given.dtypes:
            options = ["--one", name, dtype, "--rounds", str(given.rounds)]
            output = python([__file__, *options], OMP_NUM_THREADS="1")
            found = json.loads(output.strip().splitlines()[-1])
            figures[f"{name} {dtype}"] = found
            memory = found["seconds"]["memory"]["cpu"]["median"]
            times = ", ".join(f"{key} {value:.1f}" for key, value in found["ratio"]["cpu"].items())
            print(
                f"{name} {dtype}: {found['bytes'] / 1e6:.0f} MB, {1000 * memory:.1f} ms in memory; "
                f"times that: {times} (bar {BAR:g}); cache {found['cache']}",
                flush=True,
            )
            write("weight_copy", {"models": figures, "bar": BAR})


if __name__ == "__main__":
    main()
