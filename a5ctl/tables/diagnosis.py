"""One evaluation taken apart: what failed, as what, and what that says about format and math."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from a5ctl.tables.histograms import LengthContrast, length_contrasts
from core.engines.base import FinishReason
from core.errors import UserError
from core.probing.findings import Place, ProbeFindings, find, recovered
from core.registry.probe_records import ProbeRecord
from core.registry.records import (
    EvaluationRecord,
    RunRecord,
    RunStatus,
    StoredGrade,
    StoredResponse,
)
from core.responses.advice import without_repeats
from core.responses.breakdown import FailureBreakdown, OutcomeRow, break_down
from core.responses.causes import CauseContext, Subject, find_causes
from core.responses.counterfactuals import Counterfactual, counterfactuals
from core.responses.names import FailureClass, FailureFlag, GraderName
from core.responses.verdict import Advice, Commands, Explanation, explain
from core.statistics import clustered_rate


@dataclass(frozen=True, slots=True)
class Case:
    """One response with the verdict that counts here.

    Attributes:
        lenient_right: Right under `lenient`, whatever the grader says.
        recovered: A probe made it right.
    """

    response: StoredResponse
    grade: StoredGrade
    lenient_right: bool
    recovered: bool = False

    @property
    def failure(self) -> FailureClass | None:
        """Why it is wrong; None when it is right."""
        return None if self.grade.failure is None else FailureClass(self.grade.failure)

    @property
    def capped(self) -> bool:
        """The length cap stopped it."""
        return self.response.finish == FinishReason.LENGTH


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that is said about one evaluation under one grader.

    Attributes:
        cases: Every response, in the order asked.
        type1: Formatted and right.
        type2: Formatted and wrong.
        type3: Not formatted.
        explanation: The verdict in words, with causes and advice.
        counterfactuals: The accuracy as it is, and if one thing were otherwise.
        lengths: Right against wrong, in tokens.
        probes: What probes of this evaluation found.
        alarms: What was wrong in its training up to there, one line each.
    """

    run: RunRecord
    evaluation: EvaluationRecord
    grader: GraderName
    cases: tuple[Case, ...]
    breakdown: FailureBreakdown
    type1: int
    type2: int
    type3: int
    interval: tuple[float, float]
    explanation: Explanation
    counterfactuals: tuple[Counterfactual, ...]
    lengths: tuple[LengthContrast, ...]
    probes: tuple[ProbeFindings, ...] = ()
    alarms: tuple[str, ...] = ()

    def of_class(self, failure: FailureClass) -> list[Case]:
        """The failed responses of one class, in the order asked."""
        return [case for case in self.cases if case.failure is failure]


def diagnose_evaluation(
    run: RunRecord,
    evaluation: EvaluationRecord,
    responses: Sequence[StoredResponse],
    grader: GraderName,
    commands: Commands,
    further: tuple[Advice, ...] = (),
    probes: Sequence[ProbeRecord] = (),
    context: CauseContext | None = None,
    alarms: tuple[str, ...] = (),
) -> Diagnosis:
    """Take one evaluation apart.

    Args:
        run: Whose evaluation it is.
        evaluation: Its figures.
        responses: All its responses.
        grader: Decides what is right.
        commands: What the advice may tell people to type.
        further: Advice that does not come from the failures; it stands last.
        probes: Probes of this evaluation.
        context: What is known beside the responses; only the cap where it is not given.
        alarms: What was wrong in the training up to there.

    Raises:
        UserError: there are no responses, or the grader never judged them.
    """
    if not responses:
        raise UserError(
            f"the responses of run {run.id} at step {evaluation.step} are not in this registry; "
            "evaluate again with a5ctl run eval"
        )
    saved = recovered(probes, grader)
    cases = tuple(_case(response, grader, run.id, saved) for response in responses)
    right = [case.grade.right for case in cases]
    formatted = sum(case.grade.formatted for case in cases)
    rows = [_row(case) for case in cases]
    summary = break_down(rows)
    type1 = summary.n - summary.failures
    known = context or CauseContext(grader, evaluation.protocol.get("max_tokens"))
    findings = find_causes([_subject(c, r) for c, r in zip(cases, rows, strict=True)], known)
    explanation = explain(summary, findings, run=run.id, context=known, commands=commands)
    return Diagnosis(
        run=run,
        evaluation=evaluation,
        grader=grader,
        cases=cases,
        breakdown=summary,
        type1=type1,
        type2=formatted - type1,
        type3=summary.n - formatted,
        interval=_interval(cases),
        explanation=replace(explanation, advice=without_repeats((*explanation.advice, *further))),
        counterfactuals=counterfactuals(summary),
        lengths=length_contrasts(responses, right),
        probes=tuple(find(probe, responses, grader) for probe in probes),
        alarms=alarms,
    )


def commands_for(
    run: RunRecord,
    evaluation: EvaluationRecord,
    grader: GraderName,
    *,
    last: bool,
    config: Path | None,
) -> Commands:
    """The commands that act on what this evaluation looked at.

    Args:
        run: The run.
        evaluation: The evaluation that is diagnosed.
        grader: What it is diagnosed under.
        last: It is the run's last one; only those weights are sure to be kept.
        config: The run's config file, as a person would type it; None when it is gone.
    """
    name = shlex.quote(run.id)
    shown = f"a5ctl diagnose {name}" + ("" if last else f" --step {evaluation.step}")
    diagnose = shown + ("" if grader == evaluation.grader else f" --grader {grader}")
    seen = Commands(diagnose, None, None, graded=shown)
    if "dump" in run.config:  # another tool has the weights
        return seen
    stops = evaluation.protocol.get("stop")
    seen = replace(seen, stops=None if stops is None else tuple(stops))
    if run.kind == "eval":
        again = f"a5ctl run eval --config {shlex.quote(str(config))}" if config else None
        probe = f"a5ctl probe {name}" if config and last else None
        # multiple choice gives nothing to train on
        choices = evaluation.grader == GraderName.MULTIPLE_CHOICE
        train = None if choices else _training(run.config)
        return replace(seen, evaluate=again, train=train, probe=probe)
    if not last or evaluation.step == 0:
        return seen
    return replace(
        seen,
        evaluate=f"a5ctl run eval --run {name}",
        train=_training({**run.config, "model": {"run": run.id}}),
        more_data=run.config.get("data", {}).get("size") is not None,
        probe=f"a5ctl probe {name}",
        supervise=run.config.get("train", {}).get("supervise", "response"),
        show=f"a5ctl show {name}",
    )


def further_advice(
    run: RunRecord, evaluation: EvaluationRecord, evaluations: Sequence[EvaluationRecord]
) -> tuple[Advice, ...]:
    """What the run's other evaluations and its status suggest."""
    name = shlex.quote(run.id)
    first, last = min(e.step for e in evaluations), max(e.step for e in evaluations)
    found = []
    if evaluation.step < last:
        found.append(
            Advice(f"look at the last evaluation, at step {last}", f"a5ctl diagnose {name}")
        )
    elif first < last:
        command = f"a5ctl diagnose {name} --against {name}:{first}"
        found.append(Advice(f"see what changed since step {first}", command))
    if run.status in (RunStatus.FAILED, RunStatus.INTERRUPTED):
        found.append(Advice("finish the run, which stopped early", f"a5ctl resume {name}"))
    return tuple(found)


def _training(config: Mapping[str, Any]) -> str:
    """Training from the weights that an evaluation run looked at, on its data."""
    model, data = config.get("model", {}), config.get("data", {})
    parts = ["a5ctl", "run", "sft"]
    options = [
        ("--data", data.get("source"), "builtin"),
        ("--prompt", config.get("prompt", {}).get("template"), "think_answer"),
        ("--eval-data", data.get("evaluation_source"), None),
    ]
    if model.get("run") is not None:
        step = model.get("run_step")
        parts += ["--init", model["run"] + ("" if step is None else f":{step}")]
    else:
        options.insert(0, ("--model", model.get("source"), "builtin"))
    for option, value, default in options:
        if value is not None and value != default:
            parts += [option, str(value)]
    return shlex.join(parts)


def _case(response: StoredResponse, grader: GraderName, run: str, saved: Collection[Place]) -> Case:
    grade = response.grades.get(grader)
    lenient = response.grades.get(GraderName.LENIENT)
    if grade is None or lenient is None:
        missing = grader if grade is None else GraderName.LENIENT
        known = ", ".join(sorted(response.grades)) or "no grader"
        raise UserError(
            f"the responses of run {run} were never graded by {missing}; they have {known}; "
            f"a5ctl regrade {run} --grader {missing} adds it"
        )
    place = response.problem_id, response.sample
    return Case(response, grade, lenient.right, recovered=place in saved)


def _interval(cases: Sequence[Case]) -> tuple[float, float]:
    """95% interval of the accuracy; samples of one problem are not independent."""
    counts: dict[str, tuple[int, int]] = {}
    for case in cases:
        right, asked = counts.get(case.response.problem_id, (0, 0))
        counts[case.response.problem_id] = (right + case.grade.right, asked + 1)
    return clustered_rate(list(counts.values())).interval


def _subject(case: Case, row: OutcomeRow) -> Subject:
    response, given = case.response, case.grade.extracted
    if given is None:
        given = response.grades[GraderName.LENIENT].extracted
    return Subject(row, response.text, response.truth, given, response.problem_id)


def _row(case: Case) -> OutcomeRow:
    return OutcomeRow(
        failure=case.failure,
        lenient_right=case.lenient_right,
        finish=FinishReason(case.response.finish),
        tokens=case.response.tokens,
        flags=frozenset(FailureFlag(flag) for flag in case.response.flags),
        recovered=case.recovered,
    )
