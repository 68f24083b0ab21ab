"""What a run finds out about its memory before it starts."""

from types import SimpleNamespace
from typing import Any

import pytest

from core.config.load import build_config
from trainers.memory import plan_memory
from trainers.memory_cuda import Reads
from trainers.memory_meter import MemoryMeter
from trainers.memory_setup import compare_memory, engine_bytes, fed_model, what_is_beside
from trainers.packed.kernels import Kernel
from trainers.packed.prepare import Packing
from trainers.packed.projection_choice import Projection, ProjectionChoice
from trainers.policy import Policy
from trainers.tokenization import Example

ROWS = [Example("p0", (*range(30),), (False,) * 10 + (True,) * 20, 10, 30)]
SAMPLED = {"max_tokens": 200, "per_question": 4}


def stage_of(kind: str, evaluated: int, **sections: Any) -> Any:
    tree = {"kind": kind, "evaluation": {"max_tokens": evaluated, "dtype": "float32"}, **sections}
    return SimpleNamespace(
        config=build_config(tree),
        prepared=SimpleNamespace(engine=SimpleNamespace(name="hf"), train=(None,) * 5),
        world=SimpleNamespace(engine_device=None),
    )


def parameters(policy: Policy) -> int:
    return sum(parameter.numel() for parameter in policy.model.parameters())


def test_the_engines_cache_has_room_for_the_longest_rollout(policy: Policy) -> None:
    evaluates = engine_bytes(stage_of("sft", 50), policy, ROWS)
    samples = engine_bytes(stage_of("grpo", 50, rollout=SAMPLED), policy, ROWS)
    assert evaluates < samples == engine_bytes(stage_of("sft", 200), policy, ROWS)


@pytest.mark.parametrize(("kl", "policies"), [(0.0, 0), (0.05, 1)])
def test_a_reference_is_counted_where_a_kl_term_needs_it(
    policy: Policy, kl: float, policies: int
) -> None:
    stage = stage_of("grpo", 50, rollout=SAMPLED, grpo={"kl": kl})
    assert what_is_beside(stage, policy, ROWS).reference == policies * 4 * parameters(policy)


@pytest.mark.parametrize(
    ("kind", "sections", "responses"),
    [
        ("grpo", {"grpo": {"rollout_batch": 64}}, 64),
        ("ei", {"ei": {"questions": 3}}, 12),
        ("ei", {"ei": {"questions": 512}}, 20),
    ],
)
def test_rollouts_are_counted_as_long_as_they_can_get(
    policy: Policy, kind: str, sections: dict[str, Any], responses: int
) -> None:
    found = what_is_beside(stage_of(kind, 50, rollout=SAMPLED, **sections), policy, ROWS)
    assert 80 <= found.rollouts / (responses * 200) <= 100


def test_dpo_asks_the_policy_itself_for_its_reference(policy: Policy) -> None:
    found = what_is_beside(stage_of("dpo", 50), policy, ROWS)
    assert (found.reference, found.rollouts) == (0, 0)
    assert found.engine > 0


class Told:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.data: dict[str, int] = {}
        self.message = ""

    def event(self, severity: object, kind: str, message: str, **more: Any) -> None:
        assert kind == "memory"
        self.message, self.data = message, more["data"]


def packed_stage(policy: Policy, kind: str, **sections: Any) -> Any:
    """As on CUDA, as far as packed rows can be had here."""
    policy.passes, policy.packing = None, Packing(Kernel.BLOCKS, "one call per example")
    stage = stage_of(kind, 50, train={"batch_size": 4, "compile": "off"}, **sections)
    stage.world = SimpleNamespace(engine_device=None, size=1)
    stage.recorder = Told()
    return stage


@pytest.mark.parametrize(
    ("kind", "reads"), [("sft", Reads.LOSS), ("dpo", Reads.TOKENS), ("ei", Reads.LOSS)]
)
def test_packed_rows_are_estimated_by_what_a_step_is_fed(
    policy: Policy, kind: str, reads: Reads
) -> None:
    sampled = {"rollout": SAMPLED} if kind == "ei" else {}
    model = fed_model(packed_stage(policy, kind, **sampled), policy, ROWS)
    assert model.packed
    assert model.reads is reads
    assert not model.fused
    assert not model.compiled
    each = 2 if kind == "dpo" else 1
    assert model.batch.largest(10_000) == (4 * each * 29, 4 * each * 20)


def test_rows_on_a_cpu_are_estimated_by_what_a_step_is_fed(policy: Policy) -> None:
    stage = stage_of("sft", 50, train={"batch_size": 4})
    stage.world = SimpleNamespace(engine_device=None, size=1)
    model = fed_model(stage, policy, ROWS)
    assert model.written_out
    assert model.batch.largest(10_000) == (4 * 29, 4 * 20)


@pytest.mark.parametrize(
    ("rules", "fused"), [({"min_tokens": 0}, True), ({}, True), ({"top_p": 0.9}, False)]
)
def test_the_fused_kernel_counts_where_it_can_read_the_rollouts(
    policy: Policy, rules: dict[str, Any], fused: bool
) -> None:
    policy._projection = ProjectionChoice(Projection.FUSED, "quicker", Projection.FUSED)
    grpo = {"rollout_batch": 8}
    stage = packed_stage(policy, "grpo", rollout={**SAMPLED, **rules}, grpo=grpo)
    model = fed_model(stage, policy, ROWS)
    assert model.reads is Reads.ENTROPIES
    assert model.fused is fused
    assert model.batch.largest(10_000) == (8 * 29, 8 * 20)


def test_the_end_of_a_run_compares_what_was_estimated_with_what_was_measured(
    policy: Policy,
) -> None:
    stage = packed_stage(policy, "sft")
    model = fed_model(stage, policy, ROWS)
    plan = plan_memory(
        model,
        longest=30,
        wanted_tokens=1000,
        wanted=stage.config.train.activation_checkpointing,
        available=None,
    )
    meter = MemoryMeter(policy.device, 0, peak=plan.estimate.total // 2, _readable=False)
    compare_memory(stage, plan, meter, 3, model)
    assert "0.50 of the" in stage.recorder.message
    assert stage.recorder.data == {
        "peak_bytes": plan.estimate.total // 2,
        "estimated_bytes": plan.estimate.total,
        "estimated_as_run_bytes": plan.estimate.total,
    }
