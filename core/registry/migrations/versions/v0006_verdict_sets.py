"""Verdicts that responses share instead of a row for each grade, and dictionaries for texts.

A response had a row for each grader, which together took more room than its text. The view
`grade` reads as the table did.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

import sqlalchemy as sa
from alembic import op

from core.registry.codec import compress_text
from core.registry.dictionaries import find_dictionary
from core.registry.entries import GradeRow
from core.registry.texts import WITH_DICTIONARY, TextReader
from core.registry.verdict_sets import add_grades

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_AT_ONCE = 20_000
_ALSO = {
    "sqlite": "json_extract(x.also_extracted, '$[' || (v.place - 1) || ']')",
    "postgresql": "CAST(x.also_extracted AS json) ->> (v.place - 1)",
}
_VIEW = """CREATE VIEW grade AS SELECT x.key AS response, v.grader, v.version, v.formatted,
        v."right", v.failure, CASE WHEN v.place = 0 THEN x.extracted
            WHEN v.place = -1 THEN TRIM(x.extracted) WHEN v.place > 0 THEN {also}
            END AS extracted, v.newest
    FROM response x JOIN verdict v ON v.verdict_set = x.verdict_set"""
_OLD = """SELECT response, grader, version, formatted, "right", failure, extracted FROM grade
    WHERE response > :low AND response <= :high ORDER BY response, grader, version"""


def upgrade() -> None:
    """Fold every grade into the response that it is about."""
    op.create_table(
        "verdict_set",
        sa.Column("key", sa.Integer(), nullable=False),
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
    # SQLite adds a reference with its column or not at all
    op.execute("ALTER TABLE response ADD COLUMN verdict_set INTEGER REFERENCES verdict_set (key)")
    op.add_column("response", sa.Column("extracted", sa.Text(), nullable=True))
    op.add_column("response", sa.Column("also_extracted", sa.Text(), nullable=True))
    for grades in _stored_grades(op.get_bind()):
        add_grades(op.get_bind(), grades)
    op.drop_table("grade")
    op.execute(_VIEW.format(also=_ALSO[op.get_bind().dialect.name]))


def downgrade() -> None:
    """Give each grade its row again, and let each text do without a dictionary."""
    op.create_table(
        "grades",
        sa.Column("response", sa.Integer(), nullable=False),
        sa.Column("grader", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("formatted", sa.Boolean(), nullable=False),
        sa.Column("right", sa.Boolean(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("extracted", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["response"], ["response.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("response", "grader", "version"),
        sqlite_with_rowid=False,
    )
    names = 'response, grader, version, formatted, "right", failure, extracted'
    op.execute(f"INSERT INTO grades ({names}) SELECT {names} FROM grade")
    op.execute("DROP VIEW grade")
    op.rename_table("grades", "grade")
    for name, key in (("response", ("key",)), ("probed_response", ("probe", "response"))):
        _let_texts_stand_alone(op.get_bind(), name, key)
    for column in ("also_extracted", "extracted", "verdict_set"):
        op.drop_column("response", column)
    for name in ("text_dictionary", "verdict", "verdict_set"):
        op.drop_table(name)


def _stored_grades(connection: sa.Connection) -> Iterator[dict[int, list[GradeRow]]]:
    """Grades by response, of some thousand responses at a time."""
    last = connection.execute(sa.text("SELECT MAX(key) FROM response")).scalar() or 0
    for low in range(0, last, _AT_ONCE):
        given = {"low": low, "high": low + _AT_ONCE}
        rows = connection.execute(sa.text(_OLD), given).all()
        yield {
            response: [_grade(row) for row in group]
            for response, group in groupby(rows, key=lambda row: row[0])
        }


def _grade(row: sa.Row) -> GradeRow:
    # stored once already, so checked once already
    return GradeRow.model_construct(
        grader=row[1],
        version=row[2],
        formatted=bool(row[3]),
        right=bool(row[4]),
        failure=row[5],
        extracted=row[6],
    )


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
