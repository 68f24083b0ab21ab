"""What became of the responses: families of failures as bars, every class as a share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from a5ctl.format import count, percent
from a5ctl.reports.content import Cell, Remark, Table, Tone
from a5ctl.tables.steps import StepMix, find_track, step_mix
from a5ctl.tables.steps_view import evenly
from core.errors import UserError
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry
from core.responses.names import DESCRIPTIONS, FailureClass, GraderName

BAR = 1000
"""Width of a whole bar."""
_MOST_STEPS = 12


class Family(StrEnum):
    """Failures of one kind; bars tell these apart, tables every class."""

    RIGHT = "right"
    CAP = "cut by the length cap"
    TAGS = "tags missing or misplaced"
    ANSWER = "answer not in the form asked for"
    OTHER = "not decided"
    NUMBER = "well formed and wrong"


_SHORT: Mapping[Family, str] = {
    Family.RIGHT: "right",
    Family.CAP: "length cap",
    Family.TAGS: "tags",
    Family.ANSWER: "answer form",
    Family.OTHER: "undecided",
    Family.NUMBER: "wrong number",
}
_FAMILIES: Mapping[FailureClass | None, Family] = {
    None: Family.RIGHT,
    **dict.fromkeys((FailureClass.TRUNCATED_THINKING, FailureClass.TRUNCATED_ANSWER), Family.CAP),
    **dict.fromkeys(
        (
            *(FailureClass.STOPPED_WITHOUT_ANSWER, FailureClass.MISSING_ANSWER_OPEN),
            *(FailureClass.UNCLOSED_ANSWER, FailureClass.MISSING_THINK_CLOSE),
            *(FailureClass.BAD_SEPARATOR, FailureClass.REPEATED_TAGS, FailureClass.TRAILING_TEXT),
        ),
        Family.TAGS,
    ),
    **dict.fromkeys(
        (
            *(FailureClass.EMPTY_ANSWER, FailureClass.PLACEHOLDER_ANSWER),
            *(FailureClass.SENTENCE_ANSWER, FailureClass.SEVERAL_NUMBERS),
            *(FailureClass.NOT_A_NUMBER, FailureClass.RIGHT_NUMBER_REFUSED),
        ),
        Family.ANSWER,
    ),
    **dict.fromkeys((FailureClass.GRADER_TIMEOUT, FailureClass.UNKNOWN_STOP), Family.OTHER),
    FailureClass.WRONG_NUMBER: Family.NUMBER,
}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a bar, in thousandths of it."""

    family: Family
    start: float
    width: float
    words: str


@dataclass(frozen=True, slots=True)
class Bar:
    """All responses of one evaluation."""

    step: int
    n: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class RunMix:
    """One run over its evaluations.

    Attributes:
        headline: How it moved, in a few words.
        shares: Every class at every evaluation.
    """

    run: str
    headline: str
    bars: tuple[Bar, ...]
    shares: Table


def gather_mixes(
    registry: Registry,
    runs: Sequence[RunRecord],
    evaluations: Sequence[EvaluationRecord],
    grader: GraderName | None,
) -> tuple[Table | None, tuple[RunMix, ...], tuple[Remark, ...]]:
    """Count classes at every evaluation of every run.

    Returns:
        The last evaluations side by side, the runs one by one, and what could not be counted.
    """
    mixes, remarks = [], []
    by_run: dict[str, list[EvaluationRecord]] = {}
    for one in evaluations:
        by_run.setdefault(one.run_uuid, []).append(one)
    for run in runs:
        if run.uuid not in by_run:
            continue
        try:
            mixes.append(step_mix(registry, find_track(run, by_run[run.uuid], grader)))
        except UserError as error:
            remarks.append(Remark(f"No failure mix of {run.id}: {error}.", Tone.UNSURE))
    overview = _overview(mixes) if mixes else None
    return overview, tuple(map(_run_mix, mixes)), tuple(remarks)


def _run_mix(mix: StepMix) -> RunMix:
    chosen = evenly(len(mix.track.evaluations), _MOST_STEPS)
    shown = [mix.track.evaluations[place] for place in chosen]
    rows = [
        (
            Cell("right" if row.failure is None else str(row.failure), Tone.CODE),
            Cell("it is right" if row.failure is None else DESCRIPTIONS[row.failure]),
            *(Cell(percent(_share(row.counts[p], mix.track.evaluations[p]))) for p in chosen),
        )
        for row in mix.rows
    ]
    left = len(mix.track.evaluations) - len(shown)
    some = f" ({left} evaluations between them are left out)" if left else ""
    caption = (
        f"{mix.track.run.id}: share of responses by class under {mix.track.grader}, at each "
        f"evaluation on {shown[-1].split}{some}."
    )
    headers = ("class", "meaning", *(f"step {count(e.step)}" for e in shown))
    numeric = frozenset(range(2, len(headers)))
    return RunMix(
        run=mix.track.run.id,
        headline=_headline(mix),
        bars=tuple(_bar(mix, place) for place in chosen),
        shares=Table(caption, headers, tuple(rows), numeric, frozenset((1,))),
    )


def _bar(mix: StepMix, place: int) -> Bar:
    evaluation = mix.track.evaluations[place]
    parts, at = [], 0.0
    for family, hits in _families(mix, place).items():
        if hits:
            width = BAR * _share(hits, evaluation)
            words = f"{family}: {percent(width / BAR)} ({count(hits)})"
            parts.append(Part(family, round(at, 1), round(width, 1), words))
            at += width
    return Bar(evaluation.step, evaluation.n, tuple(parts))


def _families(mix: StepMix, place: int) -> dict[Family, int]:
    found = dict.fromkeys(Family, 0)
    for row in mix.rows:
        found[_FAMILIES[row.failure]] += row.counts[place]
    return found


def _headline(mix: StepMix) -> str:
    first, last = mix.track.evaluations[0], mix.track.evaluations[-1]
    right = mix.rows[0].counts
    now = percent(_share(right[-1], last))
    text = f"{now} right at step {count(last.step)}"
    if len(right) > 1:
        text = f"{percent(_share(right[0], first))} to {text}"
    wrong = max(mix.rows[1:], key=lambda row: row.counts[-1], default=None)
    if wrong is not None and wrong.counts[-1]:
        text += f"; most often {wrong.failure}, {percent(_share(wrong.counts[-1], last))}"
    return text


def _overview(mixes: Sequence[StepMix]) -> Table:
    rows = []
    for mix in mixes:
        last = mix.track.evaluations[-1]
        shares = [percent(_share(hits, last)) for hits in _families(mix, -1).values()]
        cells = (str(last.step), count(last.n), *shares)
        rows.append((Cell(mix.track.run.id, Tone.CODE, mix.track.run.id), *map(Cell, cells)))
    headers = ("run", "step", "n", *(_SHORT[family] for family in Family))
    caption = "What became of the responses of each run's last evaluation."
    return Table(caption, headers, tuple(rows), frozenset(range(1, len(headers))))


def _share(hits: int, evaluation: EvaluationRecord) -> float:
    return hits / evaluation.n if evaluation.n else 0.0
