"""The peer's side of the GRPO benchmark: TRL's GRPOTrainer on a file of prompts.

    PEER_PYTHON benchmarks/peers/trl_grpo.py job.json

Runs in an environment of its own (benchmarks/README.md) and imports nothing of this project. The
job names the model folder, the prompts, the steps and TRL's settings; the last line that is printed
is the result as JSON. Phases are timed by wrapping the trainer's own methods: what is neither
sampling, grading nor a pass without gradients is the update.
"""

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()
FORM = re.compile(r"</think> <answer>(.*?)</answer>", re.DOTALL)


class Clock:
    """Seconds by phase, and what the steps did."""

    def __init__(self) -> None:
        self.seconds = {"generate": 0.0, "grade": 0.0, "log_probs": 0.0, "sync": 0.0}
        self.done = {"responses": 0, "tokens": 0, "prompt_tokens": 0, "right": 0.0}
        self.marks: list[dict[str, float]] = []

    def mark(self) -> None:
        """The end of a step, or the beginning of the first."""
        now = {"wall": time.perf_counter(), "cpu": time.process_time()}
        self.marks.append({**now, **self.seconds, **self.done})

    def timed(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, its time added to a phase."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            before = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[phase] += time.perf_counter() - before

        return wrapper


def peak_kib() -> int:
    """Largest resident size of this process so far; ru_maxrss would know the parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:", 1)[1].split(maxsplit=1)[0])


def answer_reward(completions: list[str], truth: list[str], **_: Any) -> list[float]:
    """1 where the text between the tags is the truth, as published recipes have it."""
    found = [FORM.search(text) for text in completions]
    return [
        float(match is not None and match[1].strip() == wanted)
        for match, wanted in zip(found, truth, strict=True)
    ]


def build(job: dict[str, Any], folder: str) -> Any:
    """The trainer over the prompts in the order of the file."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    settings = {
        "output_dir": folder,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "max_steps": job["steps"],
        "learning_rate": job["lr"],
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "shuffle_dataset": False,
        "temperature": 1.0,
        "loss_type": "grpo",
        **job["settings"],
    }
    if job["attention"] is not None:
        chosen = {"attn_implementation": job["attention"], "dtype": "float32"}
        settings["model_init_kwargs"] = chosen
    rows = [json.loads(line) for line in Path(job["prompts"]).read_text("utf-8").splitlines()]
    return GRPOTrainer(
        model=job["model"],
        reward_funcs=answer_reward,
        args=GRPOConfig(**settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
    )


def watch(trainer: Any) -> Clock:
    """Wrap the trainer's methods so that the clock knows of every phase."""
    import torch
    from transformers import TrainerCallback

    clock = Clock()
    sample, grade = trainer._generate_single_turn, trainer._calculate_rewards
    passes = trainer._get_per_token_logps_and_entropies

    def counted(prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        synced = clock.seconds["sync"]
        before = time.perf_counter()
        completion_ids, logprobs = sample(prompt_ids, *args, **kwargs)
        spent = time.perf_counter() - before - (clock.seconds["sync"] - synced)
        clock.seconds["generate"] += spent
        clock.done["responses"] += len(completion_ids)
        clock.done["tokens"] += sum(map(len, completion_ids))
        clock.done["prompt_tokens"] += sum(map(len, prompt_ids))
        return completion_ids, logprobs

    def graded(*args: Any, **kwargs: Any) -> Any:
        rewards = clock.timed("grade", grade)(*args, **kwargs)
        clock.done["right"] += float(rewards.sum())
        return rewards

    def passed(*args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():
            return passes(*args, **kwargs)
        return clock.timed("log_probs", passes)(*args, **kwargs)

    class Marks(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.mark()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.mark()

    trainer._generate_single_turn, trainer._calculate_rewards = counted, graded
    trainer._get_per_token_logps_and_entropies = passed
    if trainer.use_vllm:
        engine = trainer.vllm_generation
        engine.sync_weights = clock.timed("sync", engine.sync_weights)
    trainer.add_callback(Marks())
    return clock


def main() -> None:
    """Train as the job says and print what happened."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    import torch
    import transformers
    import trl
    from trl import GRPOTrainer  # noqa: F401  (so that the memory of imports is known)

    if job["threads"] is not None:
        torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    imports_kib = peak_kib()
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(job, folder)
        clock = watch(trainer)
        trainer.train()
    result = {
        "marks": clock.marks,
        "imports_kib": imports_kib,
        "peak_kib": peak_kib(),
        "seconds": time.perf_counter() - STARTED,
        "threads": torch.get_num_threads(),
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, trl)},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
