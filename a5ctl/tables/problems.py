"""A run's evaluations problem by problem: which are never solved, which flip, which are lost."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

from a5ctl.tables.steps import Track
from core.errors import UserError
from core.registry.answers import ProblemText, problem_outcomes, problem_texts, solvers
from core.registry.store import Registry


class Course(StrEnum):
    """What happened to a problem over the evaluations of a run."""

    ALWAYS = "always right"
    LEARNED = "learned"
    FLIPPING = "flipping"
    LOST = "lost"
    NEVER = "never right"


@dataclass(frozen=True)
class ProblemCourse:
    """One problem over the evaluations that asked it.

    Attributes:
        solved: Per evaluation of the track, the share of right samples; None where not asked.
        failure: Failure class in the last evaluation that asked it; None when it was right.
        runs: Runs of the registry that asked the same question; only for problems never solved.
        solved_by: Those of them that ever had it right.
    """

    problem: ProblemText
    solved: tuple[float | None, ...]
    failure: str | None
    runs: frozenset[str] = frozenset()
    solved_by: frozenset[str] = frozenset()

    @cached_property
    def states(self) -> list[bool]:
        """Solved or not, per evaluation that asked: solved means that any sample is right."""
        return [share > 0 for share in self.solved if share is not None]

    @cached_property
    def flips(self) -> int:
        """How often it changed between solved and not."""
        return sum(before != after for before, after in pairwise(self.states))

    @cached_property
    def course(self) -> Course:
        """What happened to it."""
        states = self.states
        if self.flips > 1:
            return Course.FLIPPING
        if self.flips == 1:
            return Course.LEARNED if states[-1] else Course.LOST
        return Course.ALWAYS if states[-1] else Course.NEVER


@dataclass(frozen=True)
class ProblemSurvey:
    """Every problem of a track.

    Attributes:
        samples: Most samples that any problem has in one evaluation.
    """

    track: Track
    problems: tuple[ProblemCourse, ...]
    samples: int

    @cached_property
    def counts(self) -> Counter[Course]:
        """Problems per course."""
        return Counter(problem.course for problem in self.problems)

    @property
    def unsolved(self) -> list[ProblemCourse]:
        """Problems that no run of the registry ever solved, most often asked first."""
        found = [p for p in self.problems if p.course is Course.NEVER and not p.solved_by]
        return sorted(found, key=lambda p: -len(p.runs))

    @property
    def solved_elsewhere(self) -> list[ProblemCourse]:
        """Problems that only other runs solved, those that most runs solve first."""
        found = [p for p in self.problems if p.course is Course.NEVER and p.solved_by]
        return sorted(found, key=lambda p: -len(p.solved_by))

    def of_course(self, course: Course) -> list[ProblemCourse]:
        """Problems of one course, those that flip most first."""
        found = [problem for problem in self.problems if problem.course is course]
        return sorted(found, key=lambda problem: -problem.flips)


def survey_problems(registry: Registry, track: Track) -> ProblemSurvey:
    """Look at every problem of a track.

    Raises:
        UserError: the responses are gone, or were never graded by the track's grader.
    """
    uuids = [evaluation.uuid for evaluation in track.evaluations]
    outcomes = problem_outcomes(registry, uuids, track.grader)
    if not outcomes:
        raise UserError(
            f"no response of run {track.run.id} was graded by {track.grader}; "
            f"a5ctl regrade {track.run.id} --grader {track.grader} does it"
        )
    places = {uuid: place for place, uuid in enumerate(uuids)}
    shares: dict[int, list[float | None]] = {}
    failures: dict[int, tuple[int, str | None]] = {}
    for outcome in outcomes:
        place = places[outcome.evaluation_uuid]
        row = shares.setdefault(outcome.key, [None] * len(uuids))
        row[place] = outcome.right / outcome.samples
        # some sample right is solved, whatever the other samples failed at
        seen = (place, None if outcome.right else outcome.failure)
        failures[outcome.key] = max(failures.get(outcome.key, seen), seen, key=lambda s: s[0])
    texts = problem_texts(registry, list(shares))
    never = {key: texts[key] for key, row in shares.items() if not any(row)}
    asked, right = solvers(registry, never, track.grader)
    problems = tuple(
        ProblemCourse(
            texts[key],
            tuple(row),
            failures[key][1],
            frozenset(asked.get(key, ())),
            frozenset(right.get(key, ())),
        )
        for key, row in shares.items()
    )
    return ProblemSurvey(track, problems, max(outcome.samples for outcome in outcomes))
