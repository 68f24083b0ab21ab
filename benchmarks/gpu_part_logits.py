"""The largest tensor that a training step makes, beside what full logits would be.

Every tensor that an operator gives is looked at, forward and backward, of the policy's own
`accumulate`; gradients of weights are as large as the weights, whatever the loss does.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.gpu_part_models import data_folder, model_folder, prompt_file
from benchmarks.gpu_parts import SMALL, Given
from benchmarks.gpu_rows import report, skip
from core.units import GIB

_FLOAT32 = 4


class LargestTensor(TorchDispatchMode):
    """Remembers the most numbers that any operator's result held."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers, self.shape, self.operator = 0, "", ""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Let the operator do its work, and look at what it gives."""
        found = func(*args, **(kwargs or {}))
        for each in tree_leaves(found):
            if isinstance(each, torch.Tensor) and each.numel() > self.numbers:
                self.numbers, self.operator = each.numel(), str(func)
                self.shape = "x".join(map(str, each.shape))
        return found


def largest_tensor(given: Given) -> None:
    """One micro-batch through the policy, forward and backward."""
    from core.data.load import load_data
    from core.prompts.template import load_prompt
    from trainers.objectives import SftLoss
    from trainers.policy import load_policy
    from trainers.tokenization import encode_example

    device = torch.device(given.device)
    folder = model_folder(given, given.shape(SMALL))
    policy = load_policy(folder, device=given.device, precision=given.precision)
    template = load_prompt(str(prompt_file(given)))
    problems = load_data(str(data_folder(given))).split("train")[: 16 if given.dry else 56]
    examples = [
        encode_example(one.id, template.prompt(one), template.target(one) or "", policy.tokenizer)
        for one in problems
    ]
    (batch,) = policy.split(examples, 10**9)
    count = sum(example.supervised_count for example in batch)
    loss = SftLoss(float(count))
    policy.accumulate(batch, loss)  # what is chosen or compiled at the first call is no step
    vocabulary = policy.model.config.vocab_size
    positions = sum(len(example.token_ids) - 1 for example in batch)
    with LargestTensor() as seen:
        grown = growth(device, lambda: policy.accumulate(batch, loss))
    note = f"{seen.shape} of {seen.operator}, {positions:,} positions of which {count:,} supervised"
    name = "largest tensor, of full logits"
    report(name, seen.numbers / (positions * vocabulary), "share", bar="<= 0.25", note=note)
    note = "the embedding's gradient is as large as its weights"
    weights = max(parameter.numel() for parameter in policy.model.parameters())
    report("largest tensor, of the largest weights", seen.numbers / weights, "times", note=note)
    full = positions * vocabulary * _FLOAT32
    if grown is None:
        skip("memory of the step, of full logits", "torch's allocator keeps no peak on a CPU")
        return
    note = f"{_gib(grown)} GiB above the weights, activations included; logits are {_gib(full)}"
    report("memory of the step, of full logits", grown / full, "times", note=note)


def _gib(count: int) -> str:
    return f"{count / GIB:.2f}"


def growth(device: torch.device, work: Callable[[], object]) -> int | None:
    """Bytes of tensors at the peak of some work above what there was; None on a CPU."""
    if device.type != "cuda":
        work()
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device) - before)
