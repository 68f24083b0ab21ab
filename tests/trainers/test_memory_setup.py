"""What a run finds out about its memory before it starts."""

from types import SimpleNamespace
from typing import Any

import pytest

from core.config.load import build_config
from trainers.memory_setup import engine_bytes, what_is_beside
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
