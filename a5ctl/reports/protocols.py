"""The protocols behind a report: every field once, and in what they differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from a5ctl.format import count
from a5ctl.reports.content import Cell, Protocol, Table, Tone
from a5ctl.tables.protocols import Effect, ProtocolDiff, diff_protocols, groups
from a5ctl.tables.protocols_view import shown
from core.protocol import GRADING_FIELDS
from core.protocol_file import RecordedProtocol
from core.registry.records import EvaluationRecord, RunRecord

_TONES = {Effect.FORBIDS: Tone.BAD, Effect.WARNS: Tone.UNSURE, Effect.NAME: Tone.PLAIN}
_PROMPT = "prompt_text"


@dataclass(frozen=True, slots=True)
class Protocols:
    """The protocols of the runs' last evaluations, the most used first.

    Attributes:
        numbers: Number of the protocol by evaluation uuid, from 1.
        differences: Every other protocol against the first.
    """

    protocols: tuple[Protocol, ...]
    numbers: dict[str, int]
    differences: tuple[Table, ...]


def gather_protocols(
    runs: Sequence[RunRecord], evaluations: dict[str, EvaluationRecord]
) -> Protocols:
    """Group the evaluations by protocol.

    Args:
        runs: The runs.
        evaluations: The last one by run uuid.
    """
    grouped: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        if (found := evaluations.get(run.uuid)) is not None:
            grouped.setdefault((found.generation, found.grading), []).append(run)
    ordered = sorted(grouped.values(), key=lambda own: -len(own))
    first = [evaluations[own[0].uuid] for own in ordered]
    numbers = {
        evaluations[run.uuid].uuid: number
        for number, own in enumerate(ordered, start=1)
        for run in own
    }
    made = tuple(_protocol(e, own) for e, own in zip(first, ordered, strict=True))
    recorded = [
        RecordedProtocol(f"P{number}", e.protocol) for number, e in enumerate(first, start=1)
    ]
    differences = [diff_protocols(recorded[0], other) for other in recorded[1:]]
    return Protocols(made, numbers, tuple(map(_difference, differences)))


def _protocol(evaluation: EvaluationRecord, runs: Sequence[RunRecord]) -> Protocol:
    fields = evaluation.protocol
    recorded = RecordedProtocol("", fields)
    named = {**groups(recorded), "grading": [n for n in GRADING_FIELDS if n in fields]}
    return Protocol(
        generation=evaluation.generation,
        grading=evaluation.grading,
        summary=_summary(evaluation),
        runs=tuple(run.id for run in runs),
        fields=tuple(
            (group, tuple((name, shown(name, fields.get(name))) for name in names))
            for group, names in named.items()
            if names
        ),
        prompt=str(fields.get(_PROMPT) or ""),
    )


def _summary(evaluation: EvaluationRecord) -> str:
    fields = evaluation.protocol
    told = {name: shown(name, value) for name, value in fields.items()}
    return (
        f"{count(evaluation.n)} responses of {told.get('data_name', '?')} ({evaluation.split}), "
        f"prompt {told.get('prompt_name', '?')}, temperature {told.get('temperature', '?')}, at "
        f"most {told.get('max_tokens', '?')} tokens, {told.get('engine', '?')} "
        f"{told.get('engine_version', '?')} {told.get('dtype', '?')}, judged by {told['grader']} "
        f"version {told.get('grader_version', '?')}"
    )


def _difference(diff: ProtocolDiff) -> Table:
    rows = []
    for found in diff.differences:
        sides = (found.a, found.b)
        long = found.field == _PROMPT
        values = ["see the prompts above" if long else shown(found.field, side) for side in sides]
        effect = Cell(str(found.effect), _TONES[found.effect])
        rows.append((Cell(found.field, Tone.CODE), *map(Cell, values), effect))
    caption = f"In what {diff.b.label} differs from {diff.a.label}."
    return Table(caption, ("field", diff.a.label, diff.b.label, "a difference"), tuple(rows))
