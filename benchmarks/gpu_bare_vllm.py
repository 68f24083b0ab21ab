"""vLLM alone: its own settings, its own `generate`, nothing of ours around it.

    python benchmarks/gpu_bare_vllm.py JOB.json

The job names the model, the device, the prompts and how many tokens each response has. All prompts
are asked twice, as a run that evaluates asks a fresh engine first and a warm one later; prefixes
are not kept between the two. The last line that is printed is the result as JSON.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_ROOM = 2**28  # bytes


def engine(job: dict[str, Any]) -> Any:
    """An LLM as vLLM starts it by itself, but for the room that it may take."""
    if job["device"] == "cpu":
        from core.engines.vllm_setup import register_architectures

        # a CPU build of torch stands beside CUDA builds of torchvision, which break vLLM's look
        register_architectures(Path(job["model"]))
        room: dict[str, Any] = {"kv_cache_memory_bytes": _ROOM, "enforce_eager": True}
        dtype = "float32"
    else:
        room, dtype = {"gpu_memory_utilization": 0.5}, "bfloat16"
    from vllm import LLM

    return LLM(
        job["model"], dtype=dtype, max_model_len=1024, enable_prefix_caching=False,
        disable_log_stats=True, **room,
    )  # fmt: skip


def main() -> None:
    """Ask twice, and time both."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    llm = engine(job)
    from vllm import SamplingParams

    sampling = SamplingParams(temperature=0.0, max_tokens=job["tokens"], min_tokens=job["tokens"])
    rates = []
    for _ in range(2):
        started = time.perf_counter()
        outputs = llm.generate(job["prompts"], sampling, use_tqdm=False)
        tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
        rates.append(tokens / (time.perf_counter() - started))
    print(json.dumps({"tokens_per_second": rates}))


if __name__ == "__main__":
    main()
