"""Puts kept runs back into a registry, with their settings, their protocol and their texts."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.data.problem import Problem
from core.engines.base import FinishReason, Sampling
from core.evaluation import EvaluationResult, GradedResponse, summarize
from core.prompts.template import PromptTemplate
from core.protocol import EvaluationProtocol, GenerationProtocol, GradingProtocol
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.registry.store import Registry, open_registry
from core.responses.grade import GradedText, GradingItem, grade_responses
from core.responses.names import GRADER_VERSIONS, GraderName
from core.workspace import Workspace

FOLDER = Path(__file__).parent
_SAMPLING = ("temperature", "top_p", "max_tokens", "min_tokens", "n", "seed")


def record_runs(home: Path, *names: str) -> list[str]:
    """Record kept runs in this order, a parent before its children, and return their ids."""
    home.mkdir(parents=True, exist_ok=True)
    registry = open_registry(f"sqlite:///{home / 'registry.db'}")
    try:
        return [_record(registry, home, name) for name in names]
    finally:
        registry.close()


def evaluation(name: str) -> EvaluationResult:
    """The kept responses of a run as its evaluation, graded by the graders of today."""
    settings = _settings(name)
    rows = _rows(name)
    protocol = _protocol(settings["protocol"])
    generation = protocol.generation
    prompt = PromptTemplate(generation.prompt_name, generation.prompt_text)
    problems = [Problem(row["problem_id"], row["question"], row["truth"]) for row in rows]
    items = [
        GradingItem(row["response"], row["truth"], FinishReason(row["finish"]), prompt.placeholders)
        for row in rows
    ]
    graded = [_response(row, text) for row, text in zip(rows, grade_responses(items), strict=True)]
    return EvaluationResult(
        protocol=protocol,
        step=settings["step"],
        split=generation.split,
        problems=tuple(problems),
        responses=tuple(graded),
        summary=summarize(graded, GraderName(protocol.grading.grader)),
        seconds=1.0,
        generated_tokens=sum(row["tokens"] for row in rows),
    )


def _record(registry: Registry, home: Path, name: str) -> str:
    settings = _settings(name)
    parents = [run for run in registry.runs() if run.id == settings["parent_id"]]
    new = NewRun(
        kind=settings["kind"],
        config=settings["config"],
        config_hash=name,
        model="builtin",
        data=settings["data"],
        name=settings["name"],
        group=settings["group"],
        parent_uuid=parents[0].uuid if parents else None,
        seed=settings["seed"],
        size=settings["size"],
        id=settings["id"],
    )
    run = registry.create_run(new)
    with Recorder(registry, run.uuid, Workspace(home).run_folder(run.id)) as recorder:
        recorder.evaluation(evaluation(name))
    return run.id


def _settings(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.run.json").read_text(encoding="utf-8"))
    return found


def _rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(FOLDER / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _protocol(fields: Mapping[str, Any]) -> EvaluationProtocol:
    sampling = Sampling(stop=tuple(fields["stop"]), **{key: fields[key] for key in _SAMPLING})
    texts = ("prompt_name", "prompt_text", "data_name", "split", "data_hash")
    engine = ("engine", "engine_version", "dtype")
    generation = GenerationProtocol(
        sampling=sampling, **{key: fields[key] for key in (*texts, *engine)}
    )
    grader = GraderName(fields["grader"])
    return EvaluationProtocol(generation, GradingProtocol(grader, GRADER_VERSIONS[grader]))


def _response(row: Mapping[str, Any], graded: GradedText) -> GradedResponse:
    return GradedResponse(
        problem_id=row["problem_id"],
        sample=row["sample"],
        text=row["response"],
        token_ids=tuple(range(row["tokens"])),
        finish=FinishReason(row["finish"]),
        think_tokens=row["think_tokens"],
        answer_position=row["answer_position"],
        closed=graded.closed,
        unparseable=graded.unparseable,
        flags=graded.flags,
        verdicts=graded.verdicts,
        failures=graded.failures,
    )
