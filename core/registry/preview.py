"""An evaluation as the registry would hand it out, without any registry."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from core.evaluation import EvaluationResult
from core.registry.evaluation_entries import grade_row, stored_grade
from core.registry.records import (
    EvaluationRecord,
    RunRecord,
    RunStatus,
    StoredResponse,
)


def preview_run(name: str, config: Mapping[str, Any]) -> RunRecord:
    """A run that exists nowhere but in memory; its key is 0 and its uuid is empty."""
    now = time.time()
    return RunRecord(
        key=0,
        uuid="",
        id=name,
        kind="eval",
        name=None,
        group=None,
        status=RunStatus.FINISHED,
        parent_uuid=None,
        config_hash="",
        protocol_hash=None,
        seed=None,
        model="",
        model_hash=None,
        data=name,
        data_hash=None,
        size=None,
        created=now,
        started=now,
        ended=now,
        host=None,
        pid=None,
        process_start=None,
        heartbeat=None,
        exit_reason=None,
        folder="",
        journal_bytes=0,
        tags_json="[]",
        note="",
        config_json=json.dumps(config),
    )


def preview_evaluation(result: EvaluationResult) -> EvaluationRecord:
    """The figures of an evaluation that is not stored; its uuid is empty."""
    summary, protocol = result.summary, result.protocol
    copied = ("n", "type1", "type2", "type3", "unclosed", "unparseable", "numeric", "truncated")
    lengths = {
        "response": asdict(summary.lengths),
        "think": asdict(summary.think_lengths),
        "answer_position": asdict(summary.answer_positions),
    }
    return EvaluationRecord(
        uuid="",
        run_uuid="",
        segment=0,
        step=result.step,
        split=result.split,
        time=time.time(),
        **{name: getattr(summary, name) for name in copied},
        accuracy=summary.accuracy,
        interval=summary.interval,
        accuracy_by_grader={str(k): v for k, v in summary.accuracy_by_grader.items()},
        lengths_json=json.dumps(lengths),
        seconds=result.seconds,
        generated_tokens=result.generated_tokens,
        generation=protocol.generation.fingerprint,
        grading=protocol.grading.fingerprint,
        protocol=protocol.fields(),
    )


def preview_responses(result: EvaluationResult) -> list[StoredResponse]:
    """The responses of an evaluation that is not stored, in the order asked."""
    problems = {problem.id: problem for problem in result.problems}
    found = []
    for row in result.responses:
        problem = problems[row.problem_id]
        grades = {
            str(name): stored_grade(grade_row(name, verdict, row.failures[name]))
            for name, verdict in row.verdicts.items()
        }
        found.append(
            StoredResponse(
                problem_id=problem.id,
                question=problem.question,
                truth=problem.truth,
                sample=row.sample,
                text=row.text,
                finish=str(row.finish),
                tokens=len(row.token_ids),
                think_tokens=row.think_tokens,
                answer_position=row.answer_position,
                closed=row.closed,
                unparseable=row.unparseable,
                flags=frozenset(str(flag) for flag in row.flags),
                grades=grades,
            )
        )
    return found
