"""Right and wrong responses to the same prompt, put together."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from core.pairing import Candidate, PairingSettings, pair_row, pair_up


def candidate(
    text: str, *, right: bool, problem: str = "p1", tokens: int = 10, **other: object
) -> Candidate:
    return Candidate(
        problem_id=problem,
        question=f"question {problem}",
        truth="4",
        prompt=f"prompt {problem}",
        text=text,
        right=right,
        tokens=tokens,
        truncated=False,
        run="sft-1",
        source="evaluation",
        step=3,
        sample=0,
        **other,
    )


def some(rights: int, wrongs: int, problem: str = "p1") -> list[Candidate]:
    made = [candidate(f"right {i}", right=True, problem=problem) for i in range(rights)]
    return made + [candidate(f"wrong {i}", right=False, problem=problem) for i in range(wrongs)]


def test_only_problems_with_both_kinds_give_pairs() -> None:
    found = pair_up([*some(2, 1), *some(3, 0, "p2"), *some(0, 2, "p3")], PairingSettings())
    assert {pair.chosen.problem_id for pair in found.pairs} == {"p1"}
    assert (found.problems, found.mixed, found.right, found.wrong) == (3, 1, 5, 3)


def test_pairs_of_a_problem_are_limited_and_differ() -> None:
    found = pair_up(some(3, 2), PairingSettings(per_problem=4))
    assert len(found.pairs) == 4
    assert len({(pair.chosen.text, pair.rejected.text) for pair in found.pairs}) == 4
    assert len(pair_up(some(3, 2), PairingSettings(per_problem=99)).pairs) == 6


@given(
    rights=st.integers(1, 6),
    wrongs=st.integers(1, 6),
    limit=st.integers(1, 40),
    seed=st.integers(0, 3),
)
def test_responses_are_used_as_evenly_as_possible(
    rights: int, wrongs: int, limit: int, seed: int
) -> None:
    settings = PairingSettings(per_problem=limit, seed=seed)
    pairs = pair_up(some(rights, wrongs), settings).pairs
    assert len(pairs) == min(limit, rights * wrongs)
    assert all(pair.chosen.right and not pair.rejected.right for pair in pairs)
    used = Counter(pair.chosen.text for pair in pairs)
    counts = [used[f"right {index}"] for index in range(rights)]
    assert max(counts) - min(counts) <= 1


def test_the_seed_decides_and_other_problems_do_not() -> None:
    alone = pair_up(some(5, 5), PairingSettings(per_problem=2)).pairs
    beside = pair_up([*some(4, 4, "p0"), *some(5, 5)], PairingSettings(per_problem=2)).pairs
    assert beside[2:] == alone
    assert pair_up(some(5, 5), PairingSettings(per_problem=2)).pairs == alone
    others = [pair_up(some(5, 5), PairingSettings(per_problem=2, seed=s)).pairs for s in range(5)]
    assert any(pairs != alone for pairs in others)


def test_the_same_text_counts_once_unless_told_otherwise() -> None:
    twice = [*some(1, 1), *some(1, 1)]
    found = pair_up(twice, PairingSettings())
    assert (len(found.pairs), found.duplicates, found.responses) == (1, 2, 4)
    kept = pair_up(twice, PairingSettings(deduplicate=False))
    assert (len(kept.pairs), kept.duplicates) == (4, 0)


def test_length_balance_pairs_the_nearest_and_drops_the_unlike() -> None:
    rights = [candidate(f"r{n}", right=True, tokens=n) for n in (10, 100)]
    wrongs = [candidate(f"w{n}", right=False, tokens=n) for n in (11, 90, 400)]
    found = pair_up([*rights, *wrongs], PairingSettings(per_problem=9, length_balance=1.5))
    lengths = {(pair.chosen.tokens, pair.rejected.tokens) for pair in found.pairs}
    assert lengths == {(10, 11), (100, 90)}
    far = [candidate("short", right=True, tokens=5), candidate("long", right=False, tokens=50)]
    assert pair_up(far, PairingSettings(length_balance=2.0)).unbalanced == 1


def test_different_prompts_are_never_mixed() -> None:
    right = candidate("r", right=True)
    wrong = replace(candidate("w", right=False), prompt="the same question, asked otherwise")
    found = pair_up([right, wrong], PairingSettings())
    assert (found.pairs, found.problems) == ((), 2)


def test_a_row_says_where_both_sides_come_from() -> None:
    (pair,) = pair_up(some(1, 1), PairingSettings()).pairs
    row = pair_row(pair, "strict")
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("prompt p1", "right 0", "wrong 0")
    assert (row["problem_id"], row["truth"], row["grader"]) == ("p1", "4", "strict")
    origin = {"run": "sft-1", "source": "evaluation", "step": 3, "sample": 0, "tokens": 10}
    assert row["chosen_from"] == row["rejected_from"] == origin
