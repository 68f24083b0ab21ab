"""Log-probabilities under the rules of sampling: the same in all paths, with exact gradients."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.trainers.fast.reference import logits as plain_logits
from tests.trainers.packed.models import VOCABULARY, exact, tiny
from tests.trainers.sampled import sampled
from trainers.fast.passes import written_out
from trainers.logit_rules import LogitRules
from trainers.packed.prepare import prepare_packed
from trainers.policy import Policy
from trainers.tokenization import Example, collate

PATHS = ["written-out", "packed", "padded"]
ENDS = (VOCABULARY - 1, VOCABULARY - 3)


def policy_on(path: str) -> Policy:
    """A float64 policy that computes its passes in the given way."""
    model = exact(tiny("Qwen2"))
    tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=0)
    policy = Policy(model, tokenizer, torch.device("cpu"), torch.float64)
    if path == "written-out":
        policy.passes, _ = written_out(model, torch.float64)
        assert policy.passes is not None
    if path == "packed":
        policy.packing = prepare_packed(model, torch.float64)
        assert policy.packing.kernel is not None
    return policy


@pytest.fixture(scope="module", params=PATHS)
def policy(request: pytest.FixtureRequest) -> Policy:
    return policy_on(request.param)


def full_logits(policy: Policy, examples: list[Example]) -> Tensor:
    """All logits (B, T, V), with torch's own graph, by code that none of the paths uses."""
    lengths = torch.tensor([len(e.token_ids) - 1 for e in examples])
    ids, _ = collate(examples, 0)
    if policy.passes is not None:
        # transformers rounds rotary angles to float32 where the written-out passes do not
        return plain_logits(policy.model, ids, lengths)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    result: Tensor = policy.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return result


@dataclass
class WeightedLoss:
    """Not linear, so that a slope that is off by a little shows; remembers what it was given."""

    weights: Tensor
    seen: list[tuple[Tensor, Tensor]]

    def __call__(self, log_probs: Tensor, places: Tensor) -> Tensor:
        self.seen.append((places, log_probs.detach().clone()))
        return (self.weights[places] * (log_probs + 0.1 * log_probs.square())).sum()

    def in_order(self) -> Tensor:
        places = torch.cat([places for places, _ in self.seen])
        assert places.tolist() == list(range(len(places)))
        return torch.cat([log_probs for _, log_probs in self.seen])


def weighted() -> WeightedLoss:
    return WeightedLoss(torch.linspace(-1.0, 2.0, 1000, dtype=torch.float64), [])


@st.composite
def groups(draw: st.DrawFn) -> list[Example]:
    """Responses of unequal lengths, most to one prompt; some end, and some are not all targets."""
    token = st.integers(1, VOCABULARY - 4)
    prompt = draw(st.lists(token, min_size=1, max_size=20))
    made = []
    for index in range(draw(st.integers(1, 5))):
        own = prompt if draw(st.integers(0, 3)) else draw(st.lists(token, min_size=1, max_size=9))
        response = draw(st.lists(token, min_size=1, max_size=25))
        marks = [draw(st.integers(0, 4)) > 0 for _ in response]
        if len(response) > 6 and draw(st.booleans()):
            response[-1] = ENDS[0]
        ids = (*own, *response)
        made.append(Example(f"p{index}", ids, (*[False] * len(own), *marks), len(own), len(ids)))
    return made


RULES = st.builds(
    LogitRules,
    temperature=st.sampled_from([1.0, 0.3, 0.7, 1.6]),
    top_p=st.sampled_from([1.0, 0.4, 0.9, 0.99]),
    min_tokens=st.sampled_from([0, 1, 4, 6]),
    end_ids=st.sampled_from([(), ENDS[:1], ENDS]),
)


def gradients(policy: Policy) -> dict[str, Tensor]:
    found = {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
    policy.model.zero_grad(set_to_none=True)
    return found


def in_chunks(patch: pytest.MonkeyPatch, targets: int) -> None:
    patch.setattr("trainers.fast.head._LOGITS", targets * VOCABULARY)
    patch.setattr("trainers.packed.projection._CHUNK_LOGITS", {"cpu": targets * VOCABULARY})
    patch.setattr("trainers.padded_head._CHUNK_LOGITS", targets * VOCABULARY)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(examples=groups(), rules=RULES, entropy=st.booleans(), chunk=st.sampled_from([1, 7, 10**6]))
def test_loss_gradients_and_entropy_are_those_of_the_plainest_form(
    policy: Policy, examples: list[Example], rules: LogitRules, entropy: bool, chunk: int
) -> None:
    wanted, entropies = sampled(full_logits(policy, examples), examples, rules)
    weighted()(wanted, torch.arange(len(wanted))).backward()
    expected, loss = gradients(policy), weighted()
    value = float(weighted()(wanted.detach(), torch.arange(len(wanted))))
    with pytest.MonkeyPatch.context() as patch:
        in_chunks(patch, chunk)
        step = policy.accumulate(examples, loss, rules, entropy)
        found = policy.log_probs(examples, rules, entropy)
    torch.testing.assert_close(loss.in_order(), wanted.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.log_probs, wanted.detach(), rtol=1e-10, atol=1e-10)
    assert step.loss == pytest.approx(value, rel=1e-10, abs=1e-10)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-10, msg=name)
    if entropy:
        torch.testing.assert_close(found.entropy, entropies, rtol=1e-10, atol=1e-10)
        assert step.entropy_sum == pytest.approx(float(entropies.sum()), rel=1e-10, abs=1e-10)
    else:
        assert found.entropy is None
        assert step.entropy_sum is None
