"""The policy's weights into the engine, and evaluations beside bare vLLM on the same prompts."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gpu_part_machine import installed
from benchmarks.gpu_part_models import data_folder, model_folder, prompt_file
from benchmarks.gpu_part_runs import program_environment
from benchmarks.gpu_parts import SMALL, Given
from benchmarks.gpu_rows import fail, report, skip

_ROUNDS = 8
_MAX_MODEL_LEN = 1024
_SHARE = 0.3  # of the GPU's memory for vLLM, whose policy is beside it


def copy(given: Given) -> None:
    """Seconds of a copy as a run makes it, beside a plain copy of as many bytes on the device."""
    from a5ctl.process import prepare_process

    prepare_process()
    engines = ["hf"] if given.dry or installed("vllm") is None else ["vllm", "hf"]
    for engine in engines:
        _copy(given, engine)
    if installed("vllm") is None:
        skip("copy into vllm", "vllm is not installed")
    elif given.dry:
        skip("copy into vllm", "a dry run leaves the start of vLLM to the part evaluation")


def _copy(given: Given, name: str) -> None:
    import torch

    from benchmarks.gpu_sft_work import wait
    from core.engines.base import Sampling
    from core.engines.gpu_options import ON_CPU, GpuOptions
    from core.engines.select import build_engine, choose_engine
    from trainers.policy import load_policy

    device, folder = torch.device(given.device), model_folder(given, given.shape(SMALL))
    engine = build_engine(
        choose_engine(name), folder, dtype="bfloat16", device=given.device,
        max_model_len=_MAX_MODEL_LEN, dummy_weights=True,
        gpu=GpuOptions(share=_SHARE) if given.device == "cuda" else ON_CPU,
    )  # fmt: skip
    try:
        policy = load_policy(folder, device=given.device, precision=given.precision)
        weights = dict(policy.named_weights())
        source = list({tensor.data_ptr(): tensor for tensor in weights.values()}.values())
        size = sum(tensor.numel() * tensor.element_size() for tensor in source)
        room = [torch.empty_like(tensor) for tensor in source]
        copies, plain = [], []
        for _ in range(3 if given.dry else _ROUNDS):
            copies.append(_seconds(lambda: engine.load_weights(policy.named_weights()), device))
            engine.generate(["Tom"], Sampling(max_tokens=1))
            plain.append(
                _seconds(lambda: [a.copy_(b) for a, b in zip(room, source, strict=True)], device)
            )
            wait(device)
            if given.left < 5:
                break
        note = f"{size / 1e9:.2f} GB of float32 weights; the first took {copies[0]:.3f} s"
        later = statistics.median(copies[1:] or copies)
        report(f"into {name}", later, "s", note=note)
        report(f"into {name}: rate", size / later / 1e9, "GB/s", note="bytes of the policy")
        report(f"into {name}: against a plain copy", later / statistics.median(plain), "times")
    finally:
        engine.close()


def _seconds(call: Callable[[], object], device: Any) -> float:
    from benchmarks.gpu_sft_work import wait

    wait(device)
    started = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - started


def evaluation(given: Given) -> None:
    """Tokens per second of `a5ctl run eval` with each engine, and of vLLM alone."""
    count, length = (8, 16) if given.dry else (256, 256)
    prompts = _prompts(given, count)
    rates = {}
    if installed("vllm") is None:
        skip("evaluation with vllm", "vllm is not installed")
        skip("bare vllm", "vllm is not installed")
    else:
        rates["vllm"] = _evaluated(given, "vllm", count, length)
        rates["bare"] = _bare(given, prompts, length)
        if rates["vllm"] and rates["bare"]:
            ratio = rates["bare"] / rates["vllm"]
            report("bare vllm against a5ctl", ratio, "times", bar="<= 1.1", note="of fresh engines")
    _evaluated(given, "hf", min(count, 64), min(length, 128))


def _prompts(given: Given, count: int) -> list[str]:
    from core.data.load import load_data
    from core.prompts.template import load_prompt

    template = load_prompt(str(prompt_file(given)))
    problems = load_data(str(data_folder(given))).split("test")[:count]
    return [template.prompt(problem) for problem in problems]


def _evaluated(given: Given, engine: str, count: int, length: int) -> float | None:
    """Tokens per second of the recorded evaluation; None where it failed, which is a row."""
    name = f"a5ctl run eval, {engine}"
    home = given.work / f"home-eval-{engine}"
    command = [
        sys.executable, "-m", "a5ctl", "run", "eval", "--engine", engine, "--home", str(home),
        "--model", str(model_folder(given, given.shape(SMALL))),
        "--data", str(data_folder(given)), "--prompt", str(prompt_file(given)),
        "--device", given.device, "--eval-limit", str(count), "--max-tokens", str(length),
        "--set", f"evaluation.min_tokens={length}", "--set", "evaluation.stop=[]", "--quiet",
    ]  # fmt: skip
    if _ended(given, name, command) is None:
        return None
    from core.registry.store import open_registry

    registry = open_registry(f"sqlite:///{home / 'registry.db'}")
    (found,) = registry.evaluations([run.uuid for run in registry.runs()])
    registry.close()
    note = f"{count} prompts, {length} tokens each, in {found.seconds:.2f} s; " + (
        f"{found.protocol['engine']} {found.protocol['engine_version']}, {found.protocol['dtype']}"
    )
    report(name, found.tokens_per_second, "tokens/s", note=note)
    return found.tokens_per_second


def _bare(given: Given, prompts: list[str], length: int) -> float | None:
    """Tokens per second of vLLM's own `generate` in a process that has nothing of ours."""
    job = given.work / "bare-vllm.json"
    model = str(model_folder(given, given.shape(SMALL)))
    settings = {"model": model, "device": given.device, "prompts": prompts, "tokens": length}
    job.write_text(json.dumps(settings), encoding="utf-8")
    script = str(Path(__file__).with_name("gpu_bare_vllm.py"))
    said = _ended(given, "bare vllm", [sys.executable, script, str(job)])
    if said is None:
        return None
    first, second = json.loads(said.strip().splitlines()[-1])["tokens_per_second"]
    note = f"{len(prompts)} prompts, {length} tokens each; asked again {second:,.0f} tokens/s"
    report("bare vllm", first, "tokens/s", note=note)
    return float(first)


def _ended(given: Given, name: str, command: list[str]) -> str | None:
    """What a command printed; None where it failed, which is a row."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", env=program_environment(),
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=max(1.0, given.left))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        fail(name, "stopped when the part's time was up")
        return None
    if process.returncode:
        lines = (errors or output).strip().splitlines()
        fail(name, lines[-1][:300] if lines else f"ended with {process.returncode}")
        return None
    return output
