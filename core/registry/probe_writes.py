"""Writing probes: a repeated one takes the place of its predecessor, whole."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from core.errors import UserError
from core.registry.apply import apply_entries
from core.registry.codec import clean
from core.registry.database import Database
from core.registry.dictionaries import Compress, choose_compression
from core.registry.entries import EventEntry
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.schema import Evaluation, Probe, Response, StoredProblem, table
from core.registry.schema import ProbedResponse as ProbedResponseTable

_ROWS = 500


def store_probes(
    database: Database,
    evaluation_uuid: str,
    probes: Sequence[ProbeRecord],
    events: Sequence[EventEntry],
) -> None:
    """Store probes of one evaluation with the events that tell of them, in one transaction.

    A stored probe of the same kind and cap goes, with all its responses: what one probe holds
    always comes from one engine and one set of weights.

    Args:
        database: Where to.
        evaluation_uuid: What was probed.
        probes: Each with the texts of its responses.
        events: Added to the run of the evaluation.

    Raises:
        UserError: the evaluation is gone, or the registry cannot be written; nothing was changed.
    """
    evaluations = table(Evaluation)
    found = select(evaluations.c.key, evaluations.c.run).where(
        evaluations.c.uuid == evaluation_uuid
    )
    with database.begin() as connection:
        row = connection.execute(found).first()
        if row is None:
            raise UserError("the evaluation was deleted while it was probed; nothing was stored")
        keys = _response_keys(connection, row.key)
        texts = [clean(r.text or "") for probe in probes for r in probe.responses]
        compress = choose_compression(connection, row.run, texts)
        for probe in probes:
            _replace(connection, row.key, probe, keys, compress)
        apply_entries(connection, row.run, events)


def _response_keys(connection: Connection, evaluation: int) -> dict[tuple[str, int], int]:
    responses, problems = table(Response), table(StoredProblem)
    query = (
        select(problems.c.id, responses.c.sample, responses.c.key)
        .join(problems, problems.c.key == responses.c.problem)
        .where(responses.c.evaluation == evaluation)
    )
    return {(problem, sample): key for problem, sample, key in connection.execute(query)}


def _replace(
    connection: Connection,
    evaluation: int,
    probe: ProbeRecord,
    keys: Mapping[tuple[str, int], int],
    compress: Compress,
) -> None:
    probes = table(Probe)
    same = (
        (probes.c.evaluation == evaluation)
        & (probes.c.kind == probe.kind.value)
        & (probes.c.cap == probe.cap)
    )
    connection.execute(delete(probes).where(same))
    columns = ("cap", "time", "eligible", "engine", "engine_version", "dtype", "seconds")
    row = {name: getattr(probe, name) for name in columns}
    row |= {"evaluation": evaluation, "kind": probe.kind.value}
    connection.execute(insert(probes), row)
    key = connection.execute(select(probes.c.key).where(same)).scalar_one()
    rows = [_row(key, keys[r.problem_id, r.sample], r, compress) for r in probe.responses]
    for start in range(0, len(rows), _ROWS):
        connection.execute(insert(table(ProbedResponseTable)), rows[start : start + _ROWS])


def _row(probe: int, response: int, found: ProbedResponse, compress: Compress) -> dict[str, Any]:
    verdicts = {str(name): asdict(grade) for name, grade in found.grades.items()}
    return {
        "probe": probe,
        "response": response,
        "finish": found.finish,
        "tokens": found.tokens,
        "closed": found.closed,
        "same_prefix": found.same_prefix,
        "appended": found.appended,
        "verdicts": json.dumps(verdicts),
        "text": compress(clean(found.text or "")),
    }
