"""Copying the live policy into vLLM, beside copying as many bytes from memory to memory.

    python benchmarks/weight_copy.py --models builtin 50m 166m

Each model gets a process of its own, with one thread; time is processor time, which other work on
the machine moves little, and wall time is stored beside it. In turn: the copy as a run makes it
before an evaluation or rollouts (checks of names and shapes, vLLM's reload, prefix cache emptied,
canary), vLLM's reload alone, and a plain copy of the same tensors into tensors that exist already.
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
BAR = 3.0
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


def timed(repeat: int, **calls: Callable[[], None]) -> dict[str, dict[str, dict[str, float]]]:
    """Seconds of every call by both clocks, taken in turn; a first round does not count."""
    clocks = {"cpu": time.process_time, "wall": time.perf_counter}
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for _ in range(repeat + 1):
        for name, call in calls.items():
            before = {clock: now() for clock, now in clocks.items()}
            call()
            taken[name].append({clock: now() - before[clock] for clock, now in clocks.items()})
    return {
        name: {clock: summary([one[clock] for one in spent[1:]]) for clock in clocks}
        for name, spent in taken.items()
    }


def measure(name: str, repeat: int) -> dict[str, Any]:
    """All figures of one model; meant for a process of its own."""
    from a5ctl.process import prepare_process

    prepare_process()
    import torch

    from core.engines.base import Sampling
    from core.engines.vllm import VllmEngine
    from trainers.policy import load_policy

    with tempfile.TemporaryDirectory() as scratch:
        folder = model_folder(name, Path(scratch) / "model")
        policy = load_policy(folder, device="cpu", dtype="float32")
        engine = VllmEngine(
            folder, dtype="float32", device="cpu", max_model_len=640, dummy_weights=True
        )
        weights = {key: tensor.detach() for key, tensor in policy.named_weights()}
        room = {key: torch.empty_like(tensor) for key, tensor in weights.items()}

        def plain_copy() -> None:
            for key, tensor in weights.items():
                room[key].copy_(tensor)

        def reload() -> None:
            options = {"weights_iterator": iter(weights.items())}
            engine._llm.collective_rpc("reload_weights", kwargs=options)

        found: dict[str, Any] = timed(
            repeat,
            memory=plain_copy,
            whole=lambda: engine.load_weights(policy.named_weights()),
            reload=reload,
        )
        engine.load_weights(policy.named_weights())
        sampling = Sampling(max_tokens=24, temperature=0.0)

        def answer() -> tuple[int, ...]:
            return engine.generate([_PROMPT], sampling)[0][0].token_ids

        first = answer()
        other = {key: tensor.clone() for key, tensor in weights.items()}
        for key, tensor in other.items():
            if "v_proj.weight" in key or "down_proj.weight" in key:
                tensor.neg_()
        engine.load_weights(iter(other.items()))
        changed = answer()
        engine.load_weights(policy.named_weights())
        found["cache"] = {"answer_changes": first != changed, "comes_back": first == answer()}
        engine.close()
    distinct = {tensor.data_ptr(): tensor for tensor in weights.values()}
    found["bytes"] = sum(tensor.numel() * tensor.element_size() for tensor in distinct.values())
    found["ratio"] = {
        name: found[name]["cpu"]["median"] / found["memory"]["cpu"]["median"]
        for name in ("whole", "reload")
    }
    found["threads"] = torch.get_num_threads()
    return found


def main() -> None:
    """Measure every model in a process of its own, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--one", choices=list(MODELS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.repeat)))
        return
    figures: dict[str, Any] = {}
    for name in given.models:
        output = python(
            [__file__, "--one", name, "--repeat", str(given.repeat)], OMP_NUM_THREADS="1"
        )
        found = json.loads(output.strip().splitlines()[-1])
        figures[name] = found
        seconds = {key: found[key]["cpu"]["median"] for key in ("memory", "whole", "reload")}
        times = ", ".join(f"{key} {1000 * value:.1f} ms" for key, value in seconds.items())
        print(
            f"{name:8} {found['bytes'] / 1e6:.0f} MB: {times}; {found['ratio']['whole']:.1f} times "
            f"as long as in memory (bar {BAR:g}); cache {found['cache']}",
            flush=True,
        )
        write("weight_copy", {"models": figures, "bar": BAR})


if __name__ == "__main__":
    main()
