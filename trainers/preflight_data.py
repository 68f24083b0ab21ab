"""Preflight's checks of the data as a whole: answers and questions that repeat, and leakage."""

from collections import Counter, defaultdict

from core.data.problem import Problem
from core.prompts.template import PromptTemplate
from trainers.preflight_report import PreflightInput, Result, doubtful, fine

# the commonest answer of GSM8K and of the built-in data has a share of 1% to 4%, and at most two
# of eight problems drawn at random shared theirs
_FEWEST_SAME = 4
_LARGEST_SHARE = 0.2
# with few possible answers (yes and no, letters) one of them may well be common
_FEW_ANSWERS = 8
_LARGEST_SHARE_OF_FEW = 0.8
_LARGEST_REPEATED_SHARE = 0.01
_SHOWN = 40


def answers(given: PreflightInput) -> Result:
    """No answer fills a large share of the targets."""
    counts = Counter(problem.truth.strip() for problem in given.problems)
    ((answer, count),) = counts.most_common(1)
    total = len(given.problems)
    few = len(counts) <= _FEW_ANSWERS and total >= 4 * len(counts) and len(counts) > 1
    largest = _LARGEST_SHARE_OF_FEW if few else _LARGEST_SHARE
    text = f"the commonest answer, {answer[:_SHOWN]!r}, is that of {count:,} of {total:,} examples"
    if count >= _FEWEST_SAME and count / total > largest:
        return doubtful(
            f"{text} ({count / total:.0%}): the model may learn to say it whatever is asked; look "
            "whether the data was converted rightly"
        )
    return fine(f"{text} ({count / total:.1%})")


def questions(given: PreflightInput) -> Result:
    """No example stands there twice, and no question has two truths."""
    truths: defaultdict[str, set[str]] = defaultdict(set)
    for problem in given.problems:
        truths[_plain(problem.question)].add(problem.truth.strip())
    first = next((p for p in given.problems if len(truths[_plain(p.question)]) > 1), None)
    if first is not None:
        several = sum(len(found) > 1 for found in truths.values())
        return doubtful(
            f"{several} questions stand in the training data with different answers (first: "
            f"{first.id}), which cannot all be right; look at the data"
        )
    pairs = Counter(
        (_plain(p.question), target)
        for p, target in zip(given.problems, given.targets, strict=True)
    )
    total = len(given.problems)
    repeated = total - len(pairs)
    if repeated > max(1, _LARGEST_REPEATED_SHARE * total):
        return doubtful(
            f"{repeated} of {total:,} examples are copies of others and count that much more; take "
            "them out of the data"
        )
    if len(truths) < total:
        return fine(f"{total:,} examples ask {len(truths):,} questions")
    return fine(f"all {total:,} questions differ")


def leakage(given: PreflightInput) -> Result:
    """No training question is asked in the evaluation."""
    split = given.config.evaluation.split
    if not given.evaluated:
        return fine("nothing is evaluated")
    asked = {key for problem in given.evaluated for key in _keys(problem, given.template)}
    known = [p.id for p in given.problems if not asked.isdisjoint(_keys(p, given.template))]
    if known and split == "train":
        return fine(f"{len(known)} training questions are asked again, as the train split means")
    if known:
        return doubtful(
            f"{len(known)} of {len(given.problems):,} training questions are also asked in the "
            f"evaluation on {split} (first: {known[0]}): its accuracy counts what was learned by "
            "heart; take them out of either"
        )
    return fine(f"none of the {len(given.evaluated):,} evaluated questions is trained on")


def _keys(problem: Problem, template: PromptTemplate) -> set[str]:
    """A question by itself and as a prompt: data may bring whole prompts of its own."""
    return {_plain(problem.question), _plain(template.prompt(problem))}


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
