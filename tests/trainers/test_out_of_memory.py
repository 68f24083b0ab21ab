"""A step that runs out of memory is redone in smaller pieces with the same mathematics."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config.schema import ActivationCheckpointing, Supervise, TrainSettings
from tests.conftest import settle_objects
from tests.trainers.test_sft import encoded, method
from trainers.activation_checkpointing import activation_checkpointing_is_on
from trainers.fast.passes import WrittenOut, written_out
from trainers.out_of_memory import OutOfMemoryGuard, Relief, is_out_of_memory
from trainers.policy import Policy, load_policy
from trainers.reaction import TrainingStoppedError
from trainers.sft import SFT

BUDGET = 200
SETTINGS = TrainSettings(lr=1e-3, steps=1, clip_norm=1e9)


@pytest.fixture(scope="module", autouse=True)
def settled_objects(small_model: Path) -> None:
    """Every attempt collects garbage, which takes the longer the more is imported by now."""
    load_policy(small_model, device="cpu", precision="float32")
    settle_objects()


def full() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def learner(policy: Policy, reports: list[Relief], wanted: str = "auto") -> SFT:
    sft = method(policy, encoded(policy, Supervise.RESPONSE), SETTINGS, BUDGET)
    sft.guard = OutOfMemoryGuard(ActivationCheckpointing(wanted), reports.append)
    return sft


@pytest.fixture(params=["written-out passes", "transformers' passes"])
def policy(request: pytest.FixtureRequest, small_model: Path) -> Policy:
    made = load_policy(small_model, device="cpu", precision="float32")
    if request.param != "written-out passes":
        made.passes = None
    return made


def exhaust(policy: Policy, fails: Callable[[int, int], bool]) -> list[int]:
    """Let the second layer's forward pass fail where `fails(pass, positions)` says so.

    Returns:
        Positions of the passes so far.
    """
    seen: list[int] = []

    def note(positions: int) -> None:
        seen.append(positions)
        if fails(len(seen), positions):
            raise full()

    class Exhausted(WrittenOut):
        def _layer_forward(self, index: int, x: Any, row: Any, rotation: Any) -> Any:
            if index == 1:
                note(row.tokens)
            return super()._layer_forward(index, x, row, rotation)

    if policy.passes is not None:
        policy.passes = Exhausted(policy.passes.weights)
    else:
        policy.model.model.layers[1].mlp.register_forward_hook(
            lambda module, arguments, result: note(arguments[0].shape[:-1].numel())
        )
    return seen


def gradients(sft: SFT) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one update, read before the optimizer takes them."""
    seen: dict[str, torch.Tensor] = {}
    named = dict(sft.policy.model.named_parameters())
    handle = sft.optimizer.adamw.register_step_pre_hook(
        lambda *_: seen.update({n: p.grad.clone() for n, p in named.items()})
    )
    loss = sft.update(1)["loss"]
    handle.remove()
    return loss, seen


def undisturbed(policy: Policy) -> tuple[float, dict[str, torch.Tensor]]:
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    found = gradients(method(policy, encoded(policy, Supervise.RESPONSE), SETTINGS, BUDGET))
    policy.model.load_state_dict(before)
    policy.model.zero_grad()
    return found


def agree(
    one: tuple[float, dict[str, torch.Tensor]],
    other: tuple[float, dict[str, torch.Tensor]],
    tolerance: float,
) -> None:
    assert one[0] == pytest.approx(other[0], rel=tolerance)
    for name, gradient in one[1].items():
        assert (gradient - other[1][name]).norm() <= tolerance * gradient.norm() + 1e-15, name


@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-12), (False, 1e-5)])
def test_a_failure_in_the_second_pass_changes_nothing_but_the_pieces(
    policy: Policy, double: bool, tolerance: float
) -> None:
    if double:
        policy.model.double()
        if policy.passes is not None:
            policy.passes, _ = written_out(policy.model, torch.float64)
    expected = undisturbed(policy)
    reports: list[Relief] = []
    sft = learner(policy, reports)
    exhaust(policy, lambda number, positions: number == 2)
    agree(expected, gradients(sft), tolerance)
    assert [relief.microbatch_tokens for relief in reports] == [BUDGET // 2]
    assert sft.microbatch_tokens == BUDGET // 2
    assert "step 1 ran out of memory and is redone" in reports[0].message


def test_the_budget_shrinks_until_the_passes_fit(policy: Policy) -> None:
    expected = undisturbed(policy)
    reports: list[Relief] = []
    sft = learner(policy, reports)
    seen = exhaust(policy, lambda number, positions: positions > 60)
    agree(expected, gradients(sft), 1e-5)
    budgets = [relief.microbatch_tokens for relief in reports]
    assert budgets == [100, 50]
    assert max(seen[-3:]) <= 60


def test_random_numbers_are_drawn_again_from_the_same_state(policy: Policy) -> None:
    guard, drawn, calls = OutOfMemoryGuard(), [], []

    def work(budget: int) -> torch.Tensor:
        calls.append(budget)
        drawn.append(torch.rand(3))
        if len(calls) == 1:
            raise full()
        return drawn[-1]

    guard.run(policy, work, step=1, budget=100, longest=10)
    assert calls == [100, 50]
    assert torch.equal(*drawn)


def test_gradients_of_the_failed_attempt_are_cleared(policy: Policy) -> None:
    weight = policy.model.model.norm.weight
    found: list[bool] = []

    def work(budget: int) -> None:
        found.append(weight.grad is None)
        if len(found) == 1:
            weight.grad = torch.ones_like(weight)
            raise full()

    OutOfMemoryGuard().run(policy, work, step=1, budget=100, longest=10)
    assert found == [True, True]


def test_checkpointing_is_switched_on_where_pieces_cannot_shrink(policy: Policy) -> None:
    expected = undisturbed(policy)
    reports: list[Relief] = []
    sft = learner(policy, reports)
    model = policy.model
    exhaust(policy, lambda number, positions: not model.is_gradient_checkpointing)
    agree(expected, gradients(sft), 1e-5)
    assert activation_checkpointing_is_on(model)
    assert reports[-1].checkpointing is ActivationCheckpointing.ON
    assert "activation checkpointing is switched on" in reports[-1].message


@pytest.mark.parametrize(
    ("wanted", "advice"), [("off", "activation_checkpointing=auto"), ("auto", "--max-length")]
)
def test_it_gives_up_with_one_sentence_that_says_what_to_set(
    policy: Policy, wanted: str, advice: str
) -> None:
    sft = learner(policy, [], wanted)
    exhaust(policy, lambda number, positions: True)
    with pytest.raises(TrainingStoppedError, match="step 1 does not fit into memory") as stopped:
        sft.update(1)
    assert advice in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert activation_checkpointing_is_on(policy.model) is (wanted == "auto")


def test_it_gives_up_after_a_few_attempts(policy: Policy) -> None:
    calls: list[int] = []

    def work(budget: int) -> None:
        calls.append(budget)
        raise full()

    with pytest.raises(TrainingStoppedError, match="after 7 smaller attempts"):
        OutOfMemoryGuard().run(policy, work, step=3, budget=2**20, longest=1)
    assert calls == [2**20 >> n for n in range(7)] + [2**14]


def test_other_errors_pass_through(policy: Policy) -> None:
    def work(budget: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        OutOfMemoryGuard().run(policy, work, step=1, budget=100, longest=10)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (full(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
