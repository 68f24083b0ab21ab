"""Reading probes."""

import json

from core.probing.names import ProbeKind
from core.registry.database import Database
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.records import StoredGrade
from core.registry.text_reading import text_reader


def probes_of(
    database: Database, evaluation_uuid: str, *, texts: bool = False
) -> list[ProbeRecord]:
    """Every probe of an evaluation: larger caps by cap, then closing.

    Args:
        database: Where to look.
        evaluation_uuid: The evaluation.
        texts: Read the texts too.
    """
    sql = """SELECT b.key, b.kind, b.cap, b.time, b.eligible, b.engine, b.engine_version, b.dtype,
            b.seconds FROM probe b JOIN evaluation e ON e.key = b.evaluation
        WHERE e.uuid = :uuid ORDER BY b.kind DESC, b.cap"""
    return [
        ProbeRecord(
            kind=ProbeKind(kind),
            cap=cap,
            time=time,
            eligible=eligible,
            engine=engine,
            engine_version=version,
            dtype=dtype,
            seconds=seconds,
            responses=_responses(database, key, texts),
        )
        for key, kind, cap, time, eligible, engine, version, dtype, seconds in (
            database.read(sql, {"uuid": evaluation_uuid})
        )
    ]


def _responses(database: Database, probe: int, texts: bool) -> tuple[ProbedResponse, ...]:
    text = "o.text" if texts else "NULL"
    sql = f"""SELECT p.id, x.sample, o.finish, o.tokens, o.closed, o.same_prefix, o.appended,
            o.verdicts, {text}
        FROM probed_response o JOIN response x ON x.key = o.response
        JOIN problem p ON p.key = x.problem WHERE o.probe = :probe ORDER BY x.key"""
    read = text_reader(database)
    return tuple(
        ProbedResponse(
            problem_id=problem,
            sample=sample,
            finish=finish,
            tokens=tokens,
            closed=bool(closed),
            same_prefix=None if same_prefix is None else bool(same_prefix),
            appended=appended,
            grades={name: StoredGrade(**grade) for name, grade in json.loads(verdicts).items()},
            text=None if packed is None else read.text(packed),
        )
        for problem, sample, finish, tokens, closed, same_prefix, appended, verdicts, packed in (
            database.read(sql, {"probe": probe})
        )
    )
