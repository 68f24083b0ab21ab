"""The registry for notebooks: runs, curves, evaluations and responses as data frames."""

import importlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.registry.query.fields import Field, FieldType
from core.registry.query.request import Selection
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry, open_registry
from core.workspace import open_workspace

LIBRARIES = ("pandas", "polars")
RUN_COLUMNS = (
    "id,kind,name,group,status,size,seed,step,model,data,accuracy,low,high,n,split,evaluated_step,"
    "parent,tags,note,created,started,ended,took"
)
_EVALUATION_COLUMNS = (
    *("step", "split", "n", "accuracy", "low", "high", "type1", "type2", "type3", "unclosed"),
    *("unparseable", "truncated", "tokens", "seconds", "grader", "time"),
)
_CURVE_COLUMNS = ("run", "metric", "step", "value", "lowest", "highest", "count", "nonfinite")

Columns = Mapping[str, list[Any]]


class RegistryFrames:
    """Reads a registry; every method gives a frame of its own.

    Args:
        registry: What to read.
        library: Whose frames to give, `pandas` or `polars`.
    """

    def __init__(self, registry: Registry, library: str) -> None:
        self._registry = registry
        self._library = library
        self._package = _import(library)

    def __repr__(self) -> str:
        return f"<{self._registry.label} as {self._library} frames>"

    def runs(
        self,
        where: str | None = None,
        sort: str | None = None,
        columns: str | None = None,
        limit: int | None = None,
        *,
        archived: bool = False,
    ) -> Any:
        """One row per run, newest first unless sorted; `docs/queries.md` has filters and fields.

        Args:
            where: A filter, such as `kind = sft and accuracy > 0.3`.
            sort: Fields with commas between, `-` in front for the largest first.
            columns: Fields with commas between; the usual ones when not given.
            limit: At most so many.
            archived: With archived runs.

        Raises:
            UserError: a filter or field cannot be understood.
        """
        selection = Selection(where, sort, columns or RUN_COLUMNS, limit, archived)
        found = self._registry.select_runs(selection)
        data = {
            field.name: [_value(field, row[place]) for row in found.rows]
            for place, field in enumerate(found.fields)
        }
        return self._frame(data)

    def curves(
        self,
        runs: str | Iterable[str],
        metrics: str | Iterable[str] | None = None,
        points: int = 500,
    ) -> Any:
        """Metrics by step, one row per run, metric and point.

        Args:
            runs: One run or several, by id or name.
            metrics: Their names; all of them when None.
            points: At most so many per curve. Where there are more values, neighbours become one
                point: `value` is their mean, `lowest` and `highest` its ends, `count` how many.

        Raises:
            UserError: there is no such run, or `points` is none.
        """
        if points < 1:
            raise UserError(f"points={points} leaves no curve; give 1 or more")
        chosen = self._runs(runs)
        names = _listed(metrics) if metrics is not None else None
        found = self._registry.curves([run.uuid for run in chosen], names, points)
        rows = [
            (
                *(run.id, name, point.step, point.value, point.lowest, point.highest),
                *(point.count, point.nonfinite),
            )
            for run in chosen
            for name, curve in found[run.uuid].items()
            for point in curve
        ]
        return self._frame(_turned(_CURVE_COLUMNS, rows))

    def evaluations(self, runs: str | Iterable[str]) -> Any:
        """One row per evaluation, with the accuracy under every grader as `accuracy_GRADER`.

        Raises:
            UserError: there is no such run.
        """
        chosen = {run.uuid: run for run in self._runs(runs)}
        found = self._registry.evaluations(list(chosen))
        graders = sorted({grader for e in found for grader in e.accuracy_by_grader})
        names = ("run", *_EVALUATION_COLUMNS, *(f"accuracy_{grader}" for grader in graders))
        rows = [
            (
                chosen[evaluation.run_uuid].id,
                *_figures(evaluation),
                *(evaluation.accuracy_by_grader.get(grader) for grader in graders),
            )
            for evaluation in found
        ]
        return self._frame(_turned(names, rows))

    def responses(self, run: str, step: int | None = None) -> Any:
        """One row per response with its problem, text, lengths, and every grader's verdict.

        Args:
            run: The run.
            step: Only the evaluation of this step.

        Raises:
            UserError: there is no such run or evaluation.
        """
        from core.registry.export import COLUMNS, exported_evaluations, exported_rows, flat_row

        record = self._registry.find_run(run)
        evaluations = exported_evaluations(self._registry, record, step)
        rows = [
            tuple(flat_row(row)[name] for name in COLUMNS)
            for row in exported_rows(self._registry, record, evaluations)
        ]
        return self._frame(_turned(tuple(COLUMNS), rows))

    def close(self) -> None:
        """Close the database; the next call opens it again."""
        self._registry.close()

    def _runs(self, names: str | Iterable[str]) -> list[RunRecord]:
        found = [self._registry.find_run(name) for name in _listed(names)]
        return list({run.uuid: run for run in found}.values())

    def _frame(self, data: Columns) -> Any:
        if self._library == "polars":
            # a setting may be text in one run and a number in another
            return self._package.DataFrame(dict(data), strict=False)
        return self._package.DataFrame(dict(data))


def open_frames(home: str | Path | None, registry: str | None, library: str) -> RegistryFrames:
    """See `core.registry.open_registry`."""
    if library not in LIBRARIES:
        raise UserError(f"library {library!r} is unknown; choose {' or '.join(LIBRARIES)}")
    workspace = open_workspace(None if home is None else Path(home), create=False)
    store = open_registry(workspace.registry_url(registry), create=False)
    if not store.database.exists():
        raise UserError(f"there is no registry {store.label}; name the workspace that has one")
    store.merge_left_behind(workspace)
    return RegistryFrames(store, library)


def _import(library: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        other = LIBRARIES[1 - LIBRARIES.index(library)]
        raise UserError(
            f"the package {library} is not installed; pip install {library}, or open the registry "
            f'with library="{other}"'
        ) from error


def _listed(names: str | Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _turned(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Columns:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _value(field: Field, value: Any) -> Any:
    return _moment(value) if field.type is FieldType.TIME else value


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _figures(e: EvaluationRecord) -> tuple[Any, ...]:
    return (
        *(e.step, e.split, e.n, e.accuracy, *e.interval, e.type1, e.type2, e.type3, e.unclosed),
        *(e.unparseable, e.truncated, e.lengths["response"]["mean"], e.seconds, e.grader),
        _moment(e.time),
    )
