"""Which evaluation of a run is meant, and how the mix of failure classes moved over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from core.protocol import compare_protocols
from core.registry.answers import failure_counts
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry
from core.responses.names import FailureClass, GraderName

_GRADING = ("grader", "grader_version")


@dataclass(frozen=True, slots=True)
class Track:
    """Evaluations of one run that ask the same, one per step.

    Attributes:
        evaluations: In order of their steps.
        left_out: Evaluations of the run under another split or protocol.
    """

    run: RunRecord
    grader: GraderName
    evaluations: tuple[EvaluationRecord, ...]
    left_out: int

    @property
    def steps(self) -> list[int]:
        """Optimizer updates behind each evaluation."""
        return [evaluation.step for evaluation in self.evaluations]


@dataclass(frozen=True, slots=True)
class ClassCourse:
    """One part of the mix.

    Attributes:
        failure: The class; None for the right responses.
        counts: Responses per evaluation of the track.
        shares: The same as shares of all responses.
    """

    failure: FailureClass | None
    counts: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StepMix:
    """Every response of every evaluation in exactly one row."""

    track: Track
    rows: tuple[ClassCourse, ...]


def choose_evaluation(
    run: RunRecord, evaluations: Sequence[EvaluationRecord], step: int | None
) -> EvaluationRecord:
    """The newest evaluation of a step; of the last step when none is given.

    Raises:
        UserError: there is none; the message names the steps there are.
    """
    if not evaluations:
        raise UserError(
            f"run {run.id} has no evaluation to diagnose yet (status {run.status}); "
            f"a5ctl show {run.id} tells where it stands"
        )
    wanted = max(e.step for e in evaluations) if step is None else step
    found = [e for e in evaluations if e.step == wanted]
    if not found:
        steps = ", ".join(str(s) for s in sorted({e.step for e in evaluations}))
        raise UserError(f"run {run.id} has no evaluation of step {step}; it has {steps}")
    return max(found, key=lambda e: e.time)


def find_track(
    run: RunRecord, evaluations: Sequence[EvaluationRecord], grader: GraderName | None
) -> Track:
    """The evaluations that ask what the last one asks; of one step the newest.

    Args:
        run: The run.
        evaluations: All it has.
        grader: Decides what is right; the last evaluation's own grader when not given.

    Raises:
        UserError: there is none.
    """
    last = choose_evaluation(run, evaluations, None)
    same = [e for e in evaluations if e.split == last.split and _asks_the_same(e, last)]
    by_step = {e.step: e for e in sorted(same, key=lambda e: e.time)}
    chosen = tuple(by_step[step] for step in sorted(by_step))
    used = grader or GraderName(last.grader)
    return Track(run, used, chosen, len(evaluations) - len(same))


def step_mix(registry: Registry, track: Track) -> StepMix:
    """Count the classes of every evaluation of a track.

    Raises:
        UserError: an evaluation was never graded by the track's grader.
    """
    counts = failure_counts(registry, [e.uuid for e in track.evaluations], track.grader)
    for evaluation in track.evaluations:
        if sum(counts[evaluation.uuid].values()) != evaluation.n:
            raise UserError(
                f"not all responses of run {track.run.id} at step {evaluation.step} were graded "
                f"by {track.grader}; a5ctl regrade {track.run.id} --grader {track.grader} does it"
            )
    courses = []
    for failure in (None, *FailureClass):
        found = tuple(counts[e.uuid].get(failure, 0) for e in track.evaluations)
        if failure is None or any(found):
            shares = (n / e.n for n, e in zip(found, track.evaluations, strict=True) if e.n)
            courses.append(ClassCourse(failure, found, tuple(shares)))
    return StepMix(track, tuple(courses))


def track_json(track: Track) -> dict[str, Any]:
    """What a track is, as plain data."""
    return {
        "run": track.run.id,
        "run_uuid": track.run.uuid,
        "grader": track.grader,
        "split": track.evaluations[-1].split,
        "steps": track.steps,
        "evaluations": [evaluation.uuid for evaluation in track.evaluations],
        "n": [evaluation.n for evaluation in track.evaluations],
        "left_out": track.left_out,
    }


def _asks_the_same(one: EvaluationRecord, other: EvaluationRecord) -> bool:
    found = compare_protocols(one.protocol, other.protocol).blocking
    return all(name in _GRADING for name in found)
