"""Log-probabilities under the rules of sampling: the same in all paths, with exact gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainers.fast.reference import logits as plain_logits
from tests.trainers.packed.models import VOCABULARY, exact, tiny
from tests.trainers.precisions import FLOAT64
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
    policy = Policy(model, tokenizer, torch.device("cpu"), FLOAT64)
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
    """Responses of unequal lengths to a few prompts that begin alike; some end, some have gaps."""
    token = st.integers(1, VOCABULARY - 4)
    template = draw(st.lists(token, max_size=12))
    made = []
    for number in range(draw(st.integers(1, 3))):
        prompt = [*template, *draw(st.lists(token, min_size=1, max_size=20))]
        for _ in range(draw(st.integers(1, 3))):
            response = draw(st.lists(token, min_size=1, max_size=25))
            marks = [draw(st.integers(0, 4)) > 0 for _ in response]
            if len(response) > 6 and draw(st.booleans()):
                response[-1] = ENDS[0]
            made.append(answered(f"p{number}", prompt, response, marks))
    return made


def answered(name: str, prompt: list[int], response: list[int], marks: list[bool]) -> Example:
    ids = (*prompt, *response)
    return Example(name, ids, (*[False] * len(prompt), *marks), len(prompt), len(ids))


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
    patch.setattr("trainers.packed.head_gradients.CHUNK_LOGITS", {"cpu": targets * VOCABULARY})


@pytest.mark.slow
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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


def test_what_the_rules_forbid_is_refused_before_anything_is_computed(policy: Policy) -> None:
    rules = LogitRules(min_tokens=4, end_ids=ENDS)
    early = answered("p", [5, 6], [7, ENDS[1]], [True, True])
    with pytest.raises(ValueError, match="token 2"):
        policy.accumulate([early], weighted(), rules)
    with pytest.raises(ValueError, match="token 2"):
        policy.log_probs([early], rules)
    assert gradients(policy) == {}


def test_log_probs_leave_no_gradient_and_no_other_mode(policy: Policy) -> None:
    found = policy.log_probs([answered("p", [5, 6], [7, 8], [True, True])], entropy=True)
    assert found.entropy is not None
    assert not found.log_probs.requires_grad
    assert policy.model.training
    assert gradients(policy) == {}


def test_log_probs_are_without_dropout_and_take_no_random_numbers(policy: Policy) -> None:
    if policy.passes is not None:
        pytest.skip("the written-out passes refuse models with dropout")
    example = answered("p", [5, 6], [7, 8, 9], [True] * 3)
    calm, state = policy.log_probs([example]).log_probs, torch.get_rng_state()
    hook = policy.model.get_input_embeddings().register_forward_hook(
        lambda module, given, output: torch.nn.functional.dropout(output, 0.5, module.training)
    )
    again = policy.log_probs([example]).log_probs
    hook.remove()
    assert torch.equal(again, calm)
    assert torch.equal(torch.get_rng_state(), state)


def sorts_in(run: Callable[[], object]) -> int:
    """How often a tensor is sorted."""
    count = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal count
            count += "sort" in func.name()
            return func(*args, **(kwargs or {}))

    with Watch():
        run()
    return count


def test_logits_are_sorted_for_a_nucleus_and_for_nothing_else(policy: Policy) -> None:
    example = answered("p", [5, 6], [7, 8, 9], [True] * 3)
    assert sorts_in(lambda: policy.accumulate([example], weighted(), LogitRules(top_p=0.9))) > 0
    others = LogitRules(temperature=0.7, min_tokens=2, end_ids=ENDS)
    assert sorts_in(lambda: policy.accumulate([example], weighted(), others, True)) == 0


def test_a_label_that_has_left_the_nucleus_keeps_a_finite_gradient(policy: Policy) -> None:
    rules = LogitRules(temperature=0.05, top_p=0.01)
    examples = [answered("p", [5, 6], list(range(7, 27)), [True] * 20)]
    loss = weighted()
    policy.accumulate(examples, loss, rules, entropy=True)
    assert loss.in_order().isfinite().all()
    assert (loss.in_order() < -5).any()
    assert all(gradient.isfinite().all() for gradient in gradients(policy).values())
