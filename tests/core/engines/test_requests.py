"""Requests: own seeds, room for new tokens, settings that are refused."""

import pytest

from core.engines.base import Sampling, TokenPrompt
from core.engines.requests import check_sampling, plan_requests, request_seed
from core.errors import UserError
from core.models import load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(model_dir):
    return load_tokenizer(model_dir)


def test_every_sample_has_its_own_request_and_seed(tokenizer):
    requests = plan_requests(["Tom", "Lea"], Sampling(n=3), tokenizer, 512)
    assert [(r.prompt, r.sample) for r in requests] == [(p, s) for p in (0, 1) for s in range(3)]
    assert len({r.seed for r in requests}) == 6


def test_seeds_fit_every_engine_and_depend_on_all_three_numbers():
    seeds = {request_seed(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_room_is_what_the_context_has_left(tokenizer):
    (request,) = plan_requests(["7" * 20], Sampling(max_tokens=50), tokenizer, 30)
    assert request.max_tokens == 30 - len(request.prompt_ids)


def test_token_prompts_are_taken_as_they_are_and_keep_their_random_numbers(tokenizer):
    texts = ["Tom", "Lea"]
    tom, *_, lea = plan_requests(texts, Sampling(n=3), tokenizer, 512)
    again = TokenPrompt(lea.prompt_ids, index=1, sample=2)
    (repeated,) = plan_requests([again], Sampling(), tokenizer, 512)
    assert (repeated.prompt, repeated.sample) == (0, 0)
    assert (repeated.prompt_ids, repeated.seed) == (lea.prompt_ids, lea.seed)
    (own,) = plan_requests([TokenPrompt(tom.prompt_ids)], Sampling(), tokenizer, 512)
    assert own.seed == tom.seed


@pytest.mark.parametrize("prompt", ["", "7" * 40])
def test_prompts_that_cannot_be_answered_are_refused(tokenizer, prompt):
    with pytest.raises(UserError, match="prompt 0"):
        plan_requests([prompt], Sampling(), tokenizer, 20)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1.0},
        {"temperature": 0.001},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"max_tokens": 0},
        {"min_tokens": 600},
        {"n": 0},
        {"stop": ("",)},
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings):
    (name,) = settings
    with pytest.raises(UserError, match=name):
        check_sampling(Sampling(**settings))
