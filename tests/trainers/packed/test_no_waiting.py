"""A pass reads nothing back from the device: on tensors without values, reading one is an error."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from core.config.methods import LossType
from tests.trainers.packed.models import example, tiny
from trainers import policy as policies
from trainers.grpo_loss import WatchedLoss
from trainers.logit_rules import LogitRules
from trainers.objectives import PolicyGradientLoss, SftLoss
from trainers.objectives import token_losses as losses
from trainers.packed import attention
from trainers.packed.kernels import Kernel, load_varlen
from trainers.packed.prepare import Packing
from trainers.packed.projection_choice import Projection, ProjectionChoice
from trainers.packed.row import PackedRow, pack_row
from trainers.policy import Policy
from trainers.precision import MIXED

EXAMPLES = [example(length, 1) for length in (9, 30, 5)]
COUNT = sum(one.supervised_count for one in EXAMPLES)
WARM = LogitRules(temperature=0.7)


class Ready:
    """A feed that has the row already."""

    def __init__(self, row: PackedRow) -> None:
        self.row = row

    def take(self, examples: object) -> PackedRow:
        return self.row


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Policy]:
    """On tensors without values, with torch's variable-length kernel, as on a GPU."""
    pytest.importorskip("torch.nn.attention.varlen")
    load_varlen()
    # these ask for the device, which says `cpu` here; on a GPU both leave scalars where they are
    monkeypatch.setattr(policies, "number_or_scalar", lambda value: value.detach())
    for module in ("trainers.grpo_loss", "trainers.objectives.token_losses"):
        monkeypatch.setattr(f"{module}.number_or_scalar", lambda value: value)
    row = pack_row(EXAMPLES)
    model = tiny("Qwen2")
    attention.register()
    model.set_attn_implementation(Kernel.VARLEN.value)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        model._apply(mode.from_tensor)
        yield Policy(
            model,
            None,
            torch.device("cpu"),
            MIXED,
            packing=Packing(Kernel.VARLEN, "for the test"),
            _projection=ProjectionChoice(Projection.CHUNKED, "for the test"),
            _feed=Ready(row),  # type: ignore[arg-type]
        )


def grpo_loss() -> WatchedLoss:
    values = torch.ones(COUNT, dtype=torch.float64)
    loss = PolicyGradientLoss(
        LossType.GRPO_CLIP, values, values, -values, 0.2, 0.2, reference_log_probs=-values, kl=0.1
    )
    loss._all_count = True  # weights are looked at where they are, before the first pass
    return WatchedLoss(loss, -values, None)


def test_sft_reads_nothing(policy: Policy) -> None:
    done = policy.accumulate(EXAMPLES, SftLoss(float(COUNT)))
    assert isinstance(done.loss, Tensor)
    assert all(one.grad is not None for one in policy.model.parameters())


def test_grpo_reads_nothing_and_keeps_what_it_saw_on_the_device(policy: Policy) -> None:
    loss = grpo_loss()
    done = policy.accumulate(EXAMPLES, loss, WARM, entropy=True)
    seen: list[Any] = [done.loss, done.entropy_sum, loss.gap_sum, loss.gap_max]
    seen += [loss.loss.kl_sum, loss.loss.clipped, loss.loss.ratio_max]
    assert all(isinstance(value, Tensor) for value in seen)
    assert loss.loss.targets == COUNT


def test_log_probs_read_nothing(policy: Policy) -> None:
    assert policy.log_probs(EXAMPLES, WARM, entropy=True).log_probs.shape == (COUNT,)


def test_a_value_that_is_read_would_be_noticed(policy: Policy) -> None:
    def reading(log_probs: Tensor, places: Tensor) -> Tensor:
        assert float(log_probs.detach().sum()) < 0
        return log_probs.sum()

    with pytest.raises(DataDependentOutputException):
        policy.accumulate(EXAMPLES, reading)


def test_scalars_of_a_device_are_compared_there() -> None:
    one, two = torch.tensor(1.0), torch.tensor(2.0)
    for first, second in ((one, two), (1.0, two), (two, 1.0), (1.0, 2.0)):
        assert float(losses.larger(first, second)) == 2.0
