"""Whether layers are compiled: by what was asked, what can be, and what the run would gain."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.config.schema import RunConfig, RunKind, TrainSettings
from core.errors import UserError
from tests.trainers.packed.models import example
from trainers import compile_setup
from trainers.compile_setup import planned_positions, saved_bytes, settle_compilation
from trainers.packed.compiled import Compilation
from trainers.packed.kernels import Kernel
from trainers.packed.prepare import Packing
from trainers.policy import Policy
from trainers.precision import MIXED

EXAMPLES = [example(length, 1) for length in (10, 30)]
QWEN_05B = SimpleNamespace(
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
)


def policy(kernel: Kernel | None = Kernel.VARLEN, device: str = "cuda") -> Policy:
    model = SimpleNamespace(config=QWEN_05B)
    packing = Packing(kernel, "rows are padded: made up" if kernel is None else "works")
    return Policy(model, None, torch.device(device), MIXED, packing=packing)


def stage(**train: Any) -> Any:
    settings = TrainSettings(**{"batch_size": 4, "tokens": 1000, **train})
    observer = SimpleNamespace(phase=lambda text: None)
    return SimpleNamespace(config=RunConfig(train=settings), observer=observer)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_setup, "copy_rate", lambda device: 4e12)
    verdict = Compilation(True, "24 layers compiled", 12.0)
    monkeypatch.setattr(compile_setup, "compiled_layers", lambda policy, positions: verdict)


def settled(given: Policy, **train: Any) -> Compilation:
    settle_compilation(stage(**train), given, EXAMPLES, 16_384)
    assert given.compilation is not None
    return given.compilation


def test_a_long_run_is_compiled_and_a_short_one_says_why_not() -> None:
    assert settled(policy(), tokens=20_000_000).on
    short = settled(policy(), tokens=2_000_000)
    assert not short.on
    assert short.reason == (
        "layers run as they are: compiling saves about 5 s of this run and takes about 30 s"
    )
    assert settled(policy(), tokens=2_000_000, compile="on").on
    assert not settled(policy(), tokens=20_000_000, compile="off").on


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (policy(device="cpu"), "compiling pays on CUDA, and this is cpu"),
        (policy(Kernel.BLOCKS), "one attention call per example"),
        (policy(None), "rows are padded: made up"),
    ],
)
def test_auto_leaves_layers_alone_where_there_is_nothing_to_gain(
    given: Policy, reason: str
) -> None:
    found = settled(given, tokens=10**9)
    assert not found.on
    assert reason in found.reason


def test_what_was_asked_for_and_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="rows are padded: made up; use --compile auto"):
        settled(policy(None), compile="on")
    broken = Compilation(False, "layers run as they are: compiling fails here (no compiler)")
    monkeypatch.setattr(compile_setup, "compiled_layers", lambda policy, positions: broken)
    with pytest.raises(UserError) as found:
        settled(policy(), compile="on")
    assert str(found.value) == (
        "train.compile on does not work here: compiling fails here (no compiler); use "
        "--compile auto"
    )
    assert settled(policy(), tokens=10**9).reason == broken.reason


@pytest.mark.parametrize(
    ("kind", "settings", "positions"),
    [
        (RunKind.SFT, {"train": {"epochs": 3, "batch_size": 2}}, 3 * 40),
        (RunKind.SFT, {"train": {"steps": 5, "batch_size": 2}}, 5 * 2 * 20),
        (RunKind.SFT, {"train": {"tokens": 777, "batch_size": 2}}, 777),
        (RunKind.DPO, {"train": {"steps": 5, "batch_size": 2}}, 5 * 2 * 2 * 20),
        (RunKind.GRPO, {"grpo": {"steps": 3, "rollout_batch": 8}}, 3 * 8 * 10),
        (RunKind.EI, {"train": {"epochs": 2}, "ei": {"steps": 3, "questions": 16}}, 3 * 16 * 20),
    ],
)
def test_the_work_of_a_run_is_estimated_for_every_kind(
    kind: RunKind, settings: dict[str, Any], positions: int
) -> None:
    assert planned_positions(RunConfig(kind=kind, **settings), EXAMPLES) == positions


def test_what_is_saved_follows_from_the_shape() -> None:
    assert saved_bytes(QWEN_05B) == 24 * (220 * 896 + 14 * 4864 + 110 * (896 + 2 * 128))


def test_a_second_policy_takes_over_what_the_first_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr(
        "trainers.policy.compile_layers", lambda model, *, fresh: compiled.append((model, fresh))
    )
    first, second, padded = policy(), policy(), policy(None)
    first.compilation = Compilation(True, "compiled", 1.0)
    for other in (second, padded):
        other.run_like(first)
    assert compiled == [(second.model, False)]
    assert second.compilation is first.compilation
    assert "compiled" in second.how
    assert padded.compilation is None
