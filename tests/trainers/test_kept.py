"""What Expert Iteration keeps of a round's responses, and how they end as training examples."""

import math
import random
from dataclasses import replace

import pytest

from core.config.methods import ExpertIterationSettings
from core.config.schema import Supervise, TrainSettings
from core.data.problem import Problem
from core.engines.base import FinishReason
from core.responses.grade import GraderName
from core.rollouts import Rollout, RolloutBatch
from tests.rollouts import batch, right, rollout
from trainers.kept import keep, kept_example, most_different, round_metrics
from trainers.policy import Policy
from trainers.tokenization import encode_example

EOS = 0
ALL = ExpertIterationSettings(max_per_problem=None)
PROBLEM = Problem("q-0", "Question?", "42")


def texts(rollouts: tuple[Rollout, ...]) -> list[str]:
    return [r.response.text for r in rollouts]


def with_ids(response: Rollout, ids: tuple[int, ...]) -> Rollout:
    return replace(response, response=replace(response.response, token_ids=ids))


def test_what_the_training_grader_calls_right_is_kept_and_nothing_else() -> None:
    loose = f"{right(42)} and so on"
    sampled = batch([[right(42), right(41), loose, "42"], [right(7), right(7), "", "no"]])
    assert texts(keep(sampled, ALL, TrainSettings(), EOS).rollouts) == [right(42)]
    lenient = replace(
        sampled, rollouts=tuple(replace(r, grader=GraderName.LENIENT) for r in sampled.rollouts)
    )
    assert texts(keep(lenient, ALL, TrainSettings(), EOS).rollouts) == [right(42), loose, "42"]


def test_each_text_of_a_problem_counts_once_and_the_first_sample_stands_for_it() -> None:
    other = f" 40 + 2{right(42)}"
    sampled = batch([[right(42), other, right(42), other], [right(42)] * 4])
    kept = keep(sampled, ALL, TrainSettings(), EOS)
    named = [(r.response.problem_id, r.response.sample) for r in kept.rollouts]
    assert named == [("q-0", 0), ("q-0", 1), ("q-1", 0)]
    assert (kept.right, kept.distinct, kept.solved, kept.problems) == (8, 3, 2, 2)
    every = keep(sampled, replace_settings(deduplicate=False), TrainSettings(), EOS)
    assert len(every.rollouts) == 8


def replace_settings(**given: object) -> ExpertIterationSettings:
    return ALL.model_copy(update=given)


def test_a_problem_has_no_more_than_its_share_and_a_question_asked_twice_is_one_problem() -> None:
    group = [f" {i} + {42 - i}{right(42)}" for i in range(4)]
    twice = batch([group, group])
    problems = (twice.problems[0], twice.problems[0])
    rollouts = tuple(
        replace(r, response=replace(r.response, problem_id="q-0", sample=place, text=text))
        for place, (r, text) in enumerate(
            zip(twice.rollouts, [*group, *(f" again{text}" for text in group)], strict=True)
        )
    )
    sampled = replace(twice, problems=problems, rollouts=rollouts)
    kept = keep(sampled, replace_settings(max_per_problem=3), TrainSettings(), EOS)
    assert len(kept.rollouts) == 3
    assert kept.solved == 1
    assert round_metrics(sampled, kept)["solved_share"] == 1.0


def test_of_too_many_the_most_different_are_taken() -> None:
    one, two = [1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14]
    near_one, near_two = [*one, 99], [*two, 99]
    assert most_different([one, near_one, near_two, two], 2) == [0, 2]
    assert most_different([one, near_one, [50, 51, 52], near_two, two], 3) == [0, 2, 3]
    assert most_different([one, two], 2) == most_different([one, two], None) == [0, 1]
    assert most_different([[1], [2], [1]], 2) == [0, 1]


def test_the_choice_is_as_far_apart_as_the_greedy_rule_says() -> None:
    generator = random.Random(0)
    rows = [[generator.randrange(4) for _ in range(12)] for _ in range(20)]

    def grams(row: list[int]) -> set[tuple[int, ...]]:
        return {tuple(row[i : i + 3]) for i in range(len(row) - 2)}

    def likeness(a: int, b: int) -> float:
        return len(grams(rows[a]) & grams(rows[b])) / len(grams(rows[a]) | grams(rows[b]))

    taken = [0]
    while len(taken) < 6:
        left = [place for place in range(len(rows)) if place not in taken]
        taken.append(min(left, key=lambda p: (max(likeness(p, t) for t in taken), p)))
    assert most_different(rows, 6) == sorted(taken)


@pytest.mark.parametrize(
    ("finish", "supervise_eos", "tail"),
    [
        (FinishReason.STOP_STRING, True, (102, EOS)),
        (FinishReason.STOP_STRING, False, (102,)),
        (FinishReason.EOS, True, (102,)),
        (FinishReason.EOS, False, (101,)),
        (FinishReason.LENGTH, True, (102,)),
        (FinishReason.LENGTH, False, (102,)),
    ],
)
def test_a_response_ends_as_targets_end(
    finish: FinishReason, supervise_eos: bool, tail: tuple[int, ...]
) -> None:
    sampled = rollout(right(42), PROBLEM, tokens=3, finish=finish)
    train = TrainSettings(supervise_eos=supervise_eos)
    example = kept_example(sampled, train, EOS)
    response = example.token_ids[example.prompt_length :]
    assert response == (*range(100, tail[0]), *tail)
    assert example.token_ids[: example.prompt_length] == sampled.prompt_ids
    assert example.supervised == (*(False for _ in range(11)), *(True for _ in response))
    assert example.full_length == len(example.token_ids)


@pytest.mark.parametrize("supervise", list(Supervise))
def test_a_sampled_target_is_the_example_that_fine_tuning_makes_of_it(
    policy: Policy, supervise: Supervise
) -> None:
    prompt, text = "Tom has 3 apples. Assistant: <think>", right(42)
    train = TrainSettings(supervise=supervise)
    wanted = encode_example("q-0", prompt, text, policy.tokenizer, supervise=supervise)
    ids = wanted.token_ids[wanted.prompt_length : -1]
    marks = wanted.supervised[wanted.prompt_length :]
    sampled = with_ids(rollout(text, PROBLEM), ids)
    where = marks.index(True)
    response = replace(sampled.response, think_tokens=where, answer_position=where)
    sampled = replace(
        sampled, response=response, prompt_ids=wanted.token_ids[: wanted.prompt_length]
    )
    assert kept_example(sampled, train, policy.tokenizer.eos_token_id) == wanted


def test_what_is_too_long_or_teaches_nothing_is_left_out_and_counted() -> None:
    sampled = batch([[right(42), f"so{right(42)}"]])
    train = TrainSettings(max_length=11 + 7 + 1)
    kept = keep(sampled, ALL, train, EOS)
    assert (len(kept.rollouts), kept.unusable, kept.distinct) == (1, 1, 2)
    plain = batch([["it is 42"]])
    lenient = tuple(replace(r, grader=GraderName.LENIENT) for r in plain.rollouts)
    silent = TrainSettings(supervise=Supervise.ANSWER, supervise_eos=False)
    kept = keep(replace(plain, rollouts=lenient), ALL, silent, EOS)
    assert (len(kept.rollouts), kept.unusable, kept.right) == (0, 1, 1)


def figures(sampled: RolloutBatch) -> dict[str, float]:
    return round_metrics(sampled, keep(sampled, ALL, TrainSettings(), EOS))


def test_the_figures_of_a_round() -> None:
    sampled = batch(
        [
            [right(42), right(42), right(41), "nothing"],
            [right(1), "</answer>", "x", "y"],
            [right(42), f" {right(42)}", right(42), right(0)],
        ]
    )
    found = figures(sampled)
    logprobs = [
        -math.log(2 + i + sample)
        for _ in range(3)
        for sample in range(4)
        for i in range(7 + sample)
    ]
    assert found["right_share"] == 5 / 12
    assert found["formatted_share"] == 8 / 12
    assert found["solved_share"] == 2 / 3
    assert (found["kept"], found["kept_problems"], found["distinct_share"]) == (3, 2, 3 / 5)
    assert found["truncated_share"] == 0
    assert found["entropy"] == pytest.approx(-sum(logprobs) / len(logprobs))
    assert found["response_tokens"] == 8.5
    assert (found["generate_seconds"], found["grade_seconds"]) == (1.5, 0.1)
