"""Evaluations made by hand: texts in, a real registry out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from core.data.problem import Problem
from core.engines.base import FinishReason, Sampling
from core.evaluation import EvaluationResult, GradedResponse, summarize
from core.protocol import EvaluationProtocol, GenerationProtocol, GradingProtocol
from core.registry.entries import GradeRow
from core.registry.recorder import Recorder
from core.registry.records import NewRun, RunRecord, RunStatus
from core.registry.store import Registry, open_registry
from core.registry.verdict_sets import Noted, PlainGrade, change_notes
from core.responses.grade import GradingItem, grade_responses
from core.responses.names import GRADER_VERSIONS, GraderName
from core.workspace import Workspace

Answer = tuple[str, FinishReason]

STOP, EOS, LENGTH = FinishReason.STOP_STRING, FinishReason.EOS, FinishReason.LENGTH


def right(truth: int) -> Answer:
    return f"so it is {truth} </think> <answer> {truth} </answer>", STOP


def wrong(truth: int) -> Answer:
    return f"so it is {truth + 1} </think> <answer> {truth + 1} </answer>", STOP


def unclosed(truth: int) -> Answer:
    return f"so it is {truth} </think> <answer> {truth}", EOS


def cut(truth: int) -> Answer:
    return f"first {truth + 3} then", LENGTH


def bad_separator(truth: int) -> Answer:
    return f"so it is {truth} </think><answer> {truth} </answer>", STOP


def protocol(
    *,
    grader: GraderName = GraderName.R1_ZERO,
    max_tokens: int = 256,
    seed: int = 0,
    n: int = 1,
    data_hash: str = "d4ta",
) -> EvaluationProtocol:
    generation = GenerationProtocol(
        prompt_name="think_answer",
        prompt_text="Question {question}",
        data_name="handmade",
        split="test",
        data_hash=data_hash,
        sampling=Sampling(max_tokens=max_tokens, seed=seed, n=n),
        engine="hf",
        engine_version="1",
        dtype="float32",
    )
    return EvaluationProtocol(generation, GradingProtocol(grader, GRADER_VERSIONS[grader]))


def evaluation(
    answers: Sequence[Answer],
    *,
    step: int = 10,
    protocol: EvaluationProtocol = protocol(),  # noqa: B008
    questions: Mapping[int, str] | None = None,
    samples: int = 1,
    truths: Sequence[str] | None = None,
) -> EvaluationResult:
    """Problem number i has the truth 10 + i and that many answers in a row; tokens are words."""
    problems = [
        Problem(
            f"p{i:03d}",
            (questions or {}).get(i, f"How many is {i} + 10?"),
            truths[i] if truths is not None else str(10 + i),
        )
        for i in range(len(answers) // samples)
    ]
    asked = [(problem, sample) for problem in problems for sample in range(samples)]
    items = [
        GradingItem(text, problem.truth, finish)
        for (text, finish), (problem, _) in zip(answers, asked, strict=True)
    ]
    rows = []
    for (problem, sample), item, graded in zip(asked, items, grade_responses(items), strict=True):
        parsed = graded.parsed
        rows.append(
            GradedResponse(
                problem_id=problem.id,
                sample=sample,
                text=item.text,
                token_ids=tuple(range(len(item.text.split()))),
                finish=item.finish,
                think_tokens=_words(item.text, parsed.think_end),
                answer_position=_words(item.text, parsed.answer_start),
                closed=graded.closed,
                unparseable=graded.unparseable,
                flags=graded.flags,
                verdicts=graded.verdicts,
                failures=graded.failures,
            )
        )
    return EvaluationResult(
        protocol=protocol,
        step=step,
        split="test",
        problems=tuple(problems),
        responses=tuple(rows),
        summary=summarize(rows, GraderName(protocol.grading.grader)),
        seconds=1.0,
        generated_tokens=sum(len(row.token_ids) for row in rows),
    )


def open_home(home: Path) -> Registry:
    return open_registry(f"sqlite:///{home / 'registry.db'}")


def record(
    home: Path,
    run_id: str,
    evaluations: Sequence[EvaluationResult],
    *,
    kind: str = "sft",
    seed: int | None = None,
    group: str | None = None,
    size: int | None = 256,
    lr: float | None = None,
    status: RunStatus = RunStatus.FINISHED,
    parent: RunRecord | None = None,
    model: Mapping[str, Any] | None = None,
    method: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
) -> RunRecord:
    """A run with these evaluations in the registry of `home`.

    `model` and `train` are settings of these sections, and `method` those of the kind's own.
    """
    config: dict[str, Any] = {"kind": kind, "model": {"source": "builtin"}}
    config["data"] = {"source": "builtin"}
    if kind == "sft" and size is not None:
        config["data"]["size"] = size
    if parent is not None:
        config["model"]["run"] = parent.id
    config["model"] |= model or {}
    learning = dict(train or {}) | ({} if lr is None else {"lr": lr})
    if learning:
        config["train"] = learning
    if method is not None:
        config[kind] = dict(method)
    new = NewRun(
        kind=kind,
        config=config,
        config_hash="c0",
        model="builtin",
        data="handmade",
        id=run_id,
        seed=seed,
        group=group,
        parent_uuid=parent.uuid if parent else None,
    )
    registry = open_home(home)
    run = registry.create_run(new)
    folder = Workspace(home).run_folder(run.id)
    with Recorder(registry, run.uuid, folder) as recorder:
        for result in evaluations:
            recorder.evaluation(result)
    if status is not RunStatus.FINISHED:
        registry.set_status(run.uuid, status)
    registry.close()
    return run


def change_versions(
    home: Path, change: Callable[[int], int], *, grader: str | None = None, runs: str = "%"
) -> None:
    """Let stored grades be of other versions of their graders.

    Args:
        home: The workspace.
        change: Gives the version that takes the place of one.
        grader: Only this one; all when None.
        runs: Only grades of runs whose id is LIKE this.
    """
    sql = """SELECT x.key FROM response x JOIN evaluation e ON e.key = x.evaluation
        JOIN run r ON r.key = e.run WHERE r.id LIKE :runs"""

    def changed(row: GradeRow | PlainGrade) -> PlainGrade:
        plain = PlainGrade(*(getattr(row, name) for name in PlainGrade._fields))
        concerned = grader in (None, row.grader)
        return plain._replace(version=change(row.version)) if concerned else plain

    with open_home(home).database.begin() as connection:
        keys = connection.execute(text(sql), {"runs": runs}).scalars().all()
        change_notes(
            connection, keys, lambda _, noted: Noted(noted.ending, [*map(changed, noted.grades)])
        )


def _words(text: str, offset: int | None) -> int | None:
    return None if offset is None else len(text[:offset].split())
