"""Writing probes: a repeated one takes the place of its predecessor, whole."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from core.batches import batched
from core.registry.codec import clean
from core.registry.dictionaries import Compress, choose_compression
from core.registry.later_entries import ProbeEntry
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.probe_rows import probe_record
from core.registry.response_writes import response_keys
from core.registry.schema import Evaluation, Probe, table
from core.registry.schema import ProbedResponse as ProbedResponseTable

_ROWS = 500


def write_probe(connection: Connection, entry: ProbeEntry) -> None:
    """Store a probe of one evaluation.

    A stored probe of the same kind and cap goes, with all its responses: what one probe holds
    always comes from one engine and one set of weights.

    Args:
        connection: An open write transaction.
        entry: The probe, with the texts of its responses.

    Raises:
        ValueError: the evaluation is not there, or lacks a response.
    """
    evaluations = table(Evaluation)
    same = evaluations.c.uuid == entry.evaluation
    row = connection.execute(select(evaluations.c.key, evaluations.c.run).where(same)).first()
    if row is None:
        raise ValueError(f"there is no evaluation {entry.evaluation}")
    probe = probe_record(entry)
    texts = [clean(found.text or "") for found in probe.responses]
    compress = choose_compression(connection, row.run, texts)
    _replace(connection, row.key, probe, response_keys(connection, row.key), compress)


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
    for batch in batched(rows, _ROWS):
        connection.execute(insert(table(ProbedResponseTable)), batch)


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
