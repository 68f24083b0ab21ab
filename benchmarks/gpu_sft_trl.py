"""TRL's side of `gpu_sft.py`: SFTTrainer on the same model, examples and steps, timed per step."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch

# What TRL's documentation says is fast: packing ("bfd") or padding-free batches over flash
# attention, Liger's layer kernels, bfloat16, no gradient checkpointing, no offloading. Its loss is
# chunked in all of them. Without flash-attn, transformers keeps packed examples apart by masks,
# which flex attention skips by blocks. `sorted` puts examples of like lengths together.
TRL_SIDES: Mapping[str, dict[str, Any]] = {
    "trl-default": {},
    "trl-sorted": {"train_sampling_strategy": "group_by_length"},
    "trl-liger": {"use_liger_kernel": True},
    "trl-flex-padding-free": {"padding_free": True},
    "trl-flex-packing": {"packing": True, "packing_strategy": "bfd"},
    "trl-flash-padding-free": {"padding_free": True},
    "trl-flash-packing": {"packing": True, "packing_strategy": "bfd"},
    "trl-flash-packing-liger": {
        "packing": True,
        "packing_strategy": "bfd",
        "use_liger_kernel": True,
    },
    "trl-flash-packing-liger-bf16": {
        "packing": True,
        "packing_strategy": "bfd",
        "use_liger_kernel": True,
    },
}
_ATTENTION = {"flash": "flash_attention_2", "flex": "flex_attention"}


def run_trl(
    side: str, model: Any, examples: Sequence[Any], job: Mapping[str, Any]
) -> dict[str, Any]:
    """Train as the job says; seconds and losses per optimizer step.

    Packing joins examples itself, so that its steps hold other numbers of them: it is given one
    row per step, and as many steps as rows, and its seconds are spread over the job's steps.
    """
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    if job["device"] == "cuda":
        for word, attention in _ATTENTION.items():
            if word in side:
                model.set_attn_implementation(attention)
    rows = [{"input_ids": list(one.token_ids), "labels": _labels(one)} for one in examples]
    total = job["warmup"] + job["steps"]
    packs = "packing" in TRL_SIDES[side]
    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            _wait(job["device"])
            marks.append(time.perf_counter())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            _wait(job["device"])
            marks.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            save_strategy="no",
            report_to="none",
            logging_steps=1,
            disable_tqdm=True,
            bf16=True,
            gradient_checkpointing=False,
            use_cpu=job["device"] == "cpu",
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_length=job["row_tokens"] if packs else None,
            max_steps=-1 if packs else total,
            num_train_epochs=1,
            per_device_train_batch_size=1 if packs else job["microbatch"],
            gradient_accumulation_steps=1 if packs else job["batch"] // job["microbatch"],
            **{"train_sampling_strategy": "sequential", **TRL_SIDES[side]},
        )
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=_tokenizer(),
            callbacks=[Clock()],
        )
        trainer.train()
    seconds = [end - start for start, end in pairwise(marks)]
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "seconds": _spread(seconds, job) if packs else seconds,
        "losses": losses,
        "attention": model.config._attn_implementation,
    }


def _spread(seconds: list[float], job: Mapping[str, Any]) -> list[float]:
    """Packed steps as if each held the job's examples; the first, slow ones go to the warm-up."""
    total, warmup = job["warmup"] + job["steps"], job["warmup"]
    slow = max(1, round(len(seconds) * warmup / total))
    later = sum(seconds[slow:]) / max(1, len(seconds) - slow) * len(seconds) / total
    return [sum(seconds[:slow])] * warmup + [later] * job["steps"]


def _labels(example: Any) -> list[int]:
    pairs = zip(example.token_ids, example.supervised, strict=True)
    return [token if mark else -100 for token, mark in pairs]


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _tokenizer() -> Any:
    """One that is asked for its padding id alone."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
