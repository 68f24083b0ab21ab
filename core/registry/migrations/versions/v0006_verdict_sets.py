"""Responses that share what is said about them, and dictionaries for their texts.

A response had a row for each grader, which together took more room than its text. What many
responses share is stored once, the rest in the table `answer`; the views `response` and `grade`
read as the tables of these names did.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

import sqlalchemy as sa
from alembic import op

from core.registry.codec import compress_text
from core.registry.dictionaries import find_dictionary
from core.registry.texts import WITH_DICTIONARY, TextReader
from core.registry.verdict_sets import Ending, Noted, PlainGrade, fold, set_keys

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_AT_ONCE = 5000
_ALSO = {
    # a NUL is two characters in the list, as everywhere on a server, which reads them back itself
    "sqlite": """REPLACE(REPLACE(json_extract(x.also_extracted, '$[' || (v.place - 1) || ']'),
        char(63728, 48), char(0)), char(63728, 49), char(63728))""",
    "postgresql": "CAST(x.also_extracted AS json) ->> (v.place - 1)",
}
_RESPONSE = """CREATE VIEW response AS SELECT a.key, a.evaluation, a.run, a.step, a.problem,
        a.sample, s.finish, a.tokens, a.think_tokens, a.answer_position, s.closed, s.unparseable,
        s.flags, a.text, a.token_ids, a.logprobs, a.batch, a.verdict_set
    FROM answer a JOIN verdict_set s ON s.key = a.verdict_set"""
_GRADE = """CREATE VIEW grade AS SELECT x.key AS response, v.grader, v.version, v.formatted,
        v."right", v.failure, CASE WHEN v.place = 0 THEN x.extracted
            WHEN v.place = -1 THEN TRIM(x.extracted) WHEN v.place > 0 THEN {also}
            END AS extracted, v.newest
    FROM answer x JOIN verdict v ON v.verdict_set = x.verdict_set"""
_OLD_GRADES = """SELECT response, grader, version, formatted, "right", failure, extracted FROM grade
    WHERE response > :low AND response <= :high ORDER BY response, grader, version"""
_OLD_RESPONSES = """SELECT key, finish, closed, unparseable, flags FROM response
    WHERE key > :low AND key <= :high ORDER BY key"""
_KEPT = """key, evaluation, run, step, batch, problem, sample, tokens, think_tokens,
    answer_position, text, token_ids, logprobs"""
_BEFORE = """key, evaluation, run, step, problem, sample, finish, tokens, think_tokens,
    answer_position, closed, unparseable, flags, text, token_ids, logprobs, batch"""
_PROBED = (
    "probe, response, finish, tokens, closed, same_prefix, appended, verdicts, text"  # in order
)


def upgrade() -> None:
    """Copy every response with its grades into the new tables."""
    _create_shared_tables()
    _create_answers()
    connection = op.get_bind()
    op.execute(
        "CREATE TEMPORARY TABLE folded (response INTEGER PRIMARY KEY, verdict_set INTEGER, "
        "extracted TEXT, also_extracted TEXT)"
    )
    for rows in _folded_rows(connection):
        connection.execute(sa.text("INSERT INTO folded VALUES (:response, :set, :one, :all)"), rows)
    op.execute(
        f"INSERT INTO answer ({_KEPT}, verdict_set, extracted, also_extracted) SELECT {_KEPT}, "
        "f.verdict_set, f.extracted, f.also_extracted FROM response JOIN folded f "
        "ON f.response = response.key ORDER BY response.key"
    )
    op.execute("DROP TABLE folded")
    _create_indexes("answer", partial=True)
    _let_keys_go_on("answer")
    _probed_responses_of("answer")
    op.drop_table("grade")
    op.drop_table("response")
    op.execute(_RESPONSE)
    op.execute(_GRADE.format(also=_ALSO[connection.dialect.name]))


def downgrade() -> None:
    """Give each grade its row again, and let each text do without a dictionary."""
    op.create_table(
        "old_response",
        *_columns_of_responses(),
        sa.Column("finish", sa.String(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("unparseable", sa.Boolean(), nullable=True),
        sa.Column("flags", sa.String(), nullable=False),
        sa.CheckConstraint("(evaluation IS NULL) <> (run IS NULL)", name="response_has_one_owner"),
    )
    # as it was added: SQLite drops no column that another part of the table names
    batch = 'batch INTEGER REFERENCES rollout_batch ("key")'
    op.execute(f"ALTER TABLE old_response ADD COLUMN {batch}")
    op.execute(f"INSERT INTO old_response ({_BEFORE}) SELECT {_BEFORE} FROM response ORDER BY key")
    op.create_table(
        "old_grade",
        sa.Column("response", sa.Integer(), nullable=False),
        sa.Column("grader", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("formatted", sa.Boolean(), nullable=False),
        sa.Column("right", sa.Boolean(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("extracted", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["response"], ["old_response.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("response", "grader", "version"),
        sqlite_with_rowid=False,
    )
    names = 'response, grader, version, formatted, "right", failure, extracted'
    op.execute(f"INSERT INTO old_grade ({names}) SELECT {names} FROM grade")
    op.execute("DROP VIEW grade")
    op.execute("DROP VIEW response")
    for name, key in (("old_response", ("key",)), ("probed_response", ("probe", "response"))):
        _let_texts_stand_alone(op.get_bind(), name, key)
    op.rename_table("old_response", "response")
    op.rename_table("old_grade", "grade")
    _create_indexes("response", partial=False)
    _let_keys_go_on("response")
    _probed_responses_of("response")
    for name in ("answer", "text_dictionary", "verdict", "verdict_set"):
        op.drop_table(name)


def _create_shared_tables() -> None:
    op.create_table(
        "verdict_set",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("finish", sa.String(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("unparseable", sa.Boolean(), nullable=True),
        sa.Column("flags", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("text"),
    )
    op.create_table(
        "verdict",
        sa.Column("verdict_set", sa.Integer(), nullable=False),
        sa.Column("grader", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("formatted", sa.Boolean(), nullable=False),
        sa.Column("right", sa.Boolean(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.Column("newest", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["verdict_set"], ["verdict_set.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("verdict_set", "grader", "version"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "text_dictionary",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("text_dictionary_of_run", "text_dictionary", ["run"], unique=False)


def _create_answers() -> None:
    op.create_table(
        "answer",
        *_columns_of_responses(
            sa.Column("batch", sa.Integer(), nullable=True),
            sa.Column("verdict_set", sa.Integer(), nullable=False),
            sa.Column("extracted", sa.Text(), nullable=True),
            sa.Column("also_extracted", sa.Text(), nullable=True),
        ),
        sa.ForeignKeyConstraint(["batch"], ["rollout_batch.key"]),
        sa.ForeignKeyConstraint(["verdict_set"], ["verdict_set.key"]),
        sa.CheckConstraint("(evaluation IS NULL) <> (run IS NULL)", name="answer_has_one_owner"),
    )


def _columns_of_responses(*small: sa.Column) -> list[sa.schema.SchemaItem]:
    """What both forms of the table have; large columns come last."""
    return [
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("evaluation", sa.Integer(), nullable=True),
        sa.Column("run", sa.Integer(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("problem", sa.Integer(), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("think_tokens", sa.Integer(), nullable=True),
        sa.Column("answer_position", sa.Integer(), nullable=True),
        *small,
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("token_ids", sa.LargeBinary(), nullable=True),
        sa.Column("logprobs", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["evaluation"], ["evaluation.key"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["problem"], ["problem.key"]),
        sa.PrimaryKeyConstraint("key"),
    ]


def _create_indexes(name: str, *, partial: bool) -> None:
    """Indexes of responses; partial ones hold only the rows that they are about."""
    kept = [("step", ["run", "step"], "run"), ("batch", ["batch", "problem", "sample"], "batch")]
    identity = ["evaluation", "problem", "sample"]
    if partial:
        kept.append(("identity", identity, "evaluation"))
    else:
        op.create_index(f"{name}_identity", name, identity, unique=True)
    for what, columns, owner in kept:
        where = sa.text(f"{owner} IS NOT NULL")
        index = f"{name}_identity" if what == "identity" else f"{name}_of_{what}"
        unique = what != "step"
        op.create_index(
            index, name, columns, unique=unique, sqlite_where=where, postgresql_where=where
        )


def _probed_responses_of(name: str) -> None:
    """Let probed responses refer to the table of this name."""
    op.create_table(
        "other_probed_response",
        sa.Column("probe", sa.Integer(), nullable=False),
        sa.Column("response", sa.Integer(), nullable=False),
        sa.Column("finish", sa.String(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("same_prefix", sa.Boolean(), nullable=True),
        sa.Column("appended", sa.String(), nullable=False),
        sa.Column("verdicts", sa.Text(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["probe"], ["probe.key"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["response"], [f"{name}.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("probe", "response"),
    )
    op.execute(
        f"INSERT INTO other_probed_response ({_PROBED}) SELECT {_PROBED} FROM probed_response"
    )
    op.drop_table("probed_response")
    op.rename_table("other_probed_response", "probed_response")
    op.create_index("probed_response_of", "probed_response", ["response"], unique=False)


def _let_keys_go_on(name: str) -> None:
    """A server counts keys apart from the rows, and does not see those that were copied."""
    if op.get_bind().dialect.name == "postgresql":
        place = f"pg_get_serial_sequence('{name}', 'key')"
        last = f"COALESCE((SELECT MAX(key) FROM {name}), 0)"
        op.execute(f"SELECT setval({place}, {last} + 1, false)")


def _folded_rows(connection: sa.Connection) -> Iterator[list[dict[str, object]]]:
    """What is noted about some thousand responses at a time, as it is stored now."""
    last = connection.execute(sa.text("SELECT MAX(key) FROM response")).scalar() or 0
    for low in range(0, last, _AT_ONCE):
        given = {"low": low, "high": low + _AT_ONCE}
        grades = {
            response: [PlainGrade(*row[1:]) for row in group]
            for response, group in groupby(
                connection.execute(sa.text(_OLD_GRADES), given).all(), key=lambda row: row[0]
            )
        }
        folded = {
            row[0]: fold(Noted(_ending(row), grades.get(row[0], [])))
            for row in connection.execute(sa.text(_OLD_RESPONSES), given)
        }
        sets = set_keys(connection, (notes.text for notes in folded.values()))
        if folded:
            yield [
                {
                    "response": key,
                    "set": sets[notes.text],
                    "one": notes.extracted,
                    "all": notes.also_extracted,
                }
                for key, notes in folded.items()
            ]


def _ending(row: sa.Row) -> Ending:
    _, finish, closed, unparseable, flags = row
    return Ending(finish, bool(closed), None if unparseable is None else bool(unparseable), flags)


def _let_texts_stand_alone(connection: sa.Connection, name: str, key: Sequence[str]) -> None:
    """Compress every text of a table on its own."""
    columns = ", ".join(key)
    same = " AND ".join(f"{column} = :{column}" for column in key)
    reader = TextReader(partial(find_dictionary, connection))
    rows = connection.execute(sa.text(f"SELECT {columns}, text FROM {name}"))
    for batch in rows.partitions(_AT_ONCE):
        given = [
            {**dict(zip(key, row, strict=False)), "text": compress_text(reader.text(row[-1]))}
            for row in batch
            if row[-1][:1] == WITH_DICTIONARY
        ]
        if given:
            connection.execute(sa.text(f"UPDATE {name} SET text = :text WHERE {same}"), given)
