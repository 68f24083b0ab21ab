"""Every field that a filter, an order or a column can name, and what kind of value it has."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from core.errors import UserError
from core.registry.query.syntax import FieldName

CONFIG_PREFIX = "config."
METRIC_PREFIX = "metric."
GRADER_PREFIX = "accuracy."
_PATH = re.compile(r"[\w-]+(\.[\w-]+)*")
_NAMED = 3


class FieldType(Enum):
    """What a field holds; it decides which comparisons mean something."""

    TEXT = "text"
    NUMBER = "a number"
    SHARE = "a share from 0 to 1"
    TIME = "a time"
    DURATION = "a length of time"
    FLAG = "true or false"
    TAGS = "a list of tags"
    SETTING = "a setting"


class Origin(Enum):
    """Where a field's value is stored."""

    RUN = "the run"
    EVALUATION = "the last evaluation of the run"
    METRIC = "the summary of a metric"
    CONFIG = "the configuration"


class Statistic(Enum):
    """Which figure of a metric's summary."""

    LAST = "last"
    MIN = "min"
    MAX = "max"
    STEP = "step"


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        name: As it is written in filters.
        type: What its values are.
        origin: Where they come from.
        meaning: For the reference.
        path: Keys inside a JSON column, where it is a part of one.
        metric: Key of the metric's name in the registry, where it is one.
        statistic: Which figure of the metric.
    """

    name: str
    type: FieldType
    origin: Origin
    meaning: str = ""
    path: tuple[str, ...] = ()
    metric: int | None = None
    statistic: Statistic = Statistic.LAST


def _table(origin: Origin, rows: Iterable[tuple[str, FieldType, str]]) -> dict[str, Field]:
    return {name: Field(name, kind, origin, meaning) for name, kind, meaning in rows}


_T = FieldType
FIELDS: Mapping[str, Field] = {
    **_table(
        Origin.RUN,
        (
            ("id", _T.TEXT, "short id"),
            ("run", _T.TEXT, "the same as id"),
            ("uuid", _T.TEXT, "identity"),
            ("kind", _T.TEXT, "sft, ei, grpo, dpo or eval"),
            ("name", _T.TEXT, "the name it was given"),
            ("group", _T.TEXT, "group of a matrix"),
            ("status", _T.TEXT, "as shown: queued, running, finished, failed, interrupted, stale, "
             "lost"),
            ("parent", _T.TEXT, "short id of the run it started from, while that is stored"),
            ("seed", _T.NUMBER, "seed"),
            ("size", _T.NUMBER, "training problems"),
            ("step", _T.NUMBER, "last recorded step"),
            ("model", _T.TEXT, "model"),
            ("model_hash", _T.TEXT, "hash of the model"),
            ("data", _T.TEXT, "data set"),
            ("data_hash", _T.TEXT, "hash of the data"),
            ("config_hash", _T.TEXT, "hash of the configuration"),
            ("protocol_hash", _T.TEXT, "fingerprints of the last evaluation's protocol"),
            ("host", _T.TEXT, "machine"),
            ("exit_reason", _T.TEXT, "why it ended"),
            ("note", _T.TEXT, "its note"),
            ("tags", _T.TAGS, "its tags"),
            ("archived", _T.FLAG, "whether it is in the archive"),
            ("created", _T.TIME, "when it was made"),
            ("started", _T.TIME, "when it began"),
            ("ended", _T.TIME, "when it ended"),
            ("age", _T.DURATION, "time since it was made"),
            ("took", _T.DURATION, "time from its beginning to its end, or until now"),
        ),
    ),
    **_table(
        Origin.EVALUATION,
        (
            ("accuracy", _T.SHARE, "share right under its own grader"),
            ("low", _T.SHARE, "lower end of the 95% interval"),
            ("high", _T.SHARE, "upper end of the 95% interval"),
            ("n", _T.NUMBER, "responses"),
            ("split", _T.TEXT, "part of the data that was asked"),
            ("evaluated_step", _T.NUMBER, "its step"),
            ("evaluated", _T.TIME, "when it was recorded"),
            ("type1", _T.NUMBER, "responses formatted and right"),
            ("type2", _T.NUMBER, "responses formatted and wrong"),
            ("type3", _T.NUMBER, "responses not formatted"),
            ("unclosed", _T.NUMBER, "responses without a closed answer"),
            ("unparseable", _T.NUMBER, "closed answers without exactly one number"),
            ("truncated", _T.NUMBER, "responses stopped by the cap"),
            ("unclosed_share", _T.SHARE, "unclosed / n"),
            ("unparseable_share", _T.SHARE, "unparseable, of those whose truth is a number"),
            ("truncated_share", _T.SHARE, "truncated / n"),
            ("tokens", _T.NUMBER, "mean length of a response in tokens"),
        ),
    ),
}  # fmt: skip
"""Fields with fixed names; metrics, settings and graders add theirs (`resolve`)."""


class Catalogue:
    """Turns names into fields; knows which metrics a registry holds.

    Args:
        metrics: Keys of the names of metrics, by name.
    """

    def __init__(self, metrics: Mapping[str, int]) -> None:
        self._metrics = metrics

    def resolve(self, name: FieldName) -> Field:
        """The field behind a name.

        Raises:
            UserError: there is none; the nearest names are in the message.
        """
        text = name.text
        if text in FIELDS:
            return FIELDS[text]
        if text.startswith(METRIC_PREFIX):
            return self._metric(name)
        if text.startswith(GRADER_PREFIX):
            return _grader(name)
        if text.startswith(CONFIG_PREFIX):
            return _setting(name, text.removeprefix(CONFIG_PREFIX))
        if text in _settings():
            return _setting(name, text)
        raise _unknown(name, (*FIELDS, *_settings(), *self._metric_names()))

    def _metric(self, name: FieldName) -> Field:
        """A metric may itself end like a statistic, so the whole name is looked for first."""
        rest = name.text.removeprefix(METRIC_PREFIX)
        metric, _, ending = rest.rpartition(".")
        statistics = {statistic.value: statistic for statistic in Statistic}
        plain = Field(name.text, FieldType.NUMBER, Origin.METRIC)
        if rest in self._metrics:
            return replace(plain, metric=self._metrics[rest])
        if metric in self._metrics and ending in statistics:
            return replace(plain, metric=self._metrics[metric], statistic=statistics[ending])
        if metric in self._metrics:
            raise UserError(
                f"{name.text!r}{_at(name)} is no field: of a metric there are "
                f"{', '.join(f'.{ending}' for ending in statistics)}"
            )
        raise _unknown(name, self._metric_names())

    def _metric_names(self) -> list[str]:
        return [f"{METRIC_PREFIX}{metric}" for metric in self._metrics]


def _grader(name: FieldName) -> Field:
    from core.responses.names import GraderName

    grader = name.text.removeprefix(GRADER_PREFIX)
    if grader not in set(GraderName):
        raise _unknown(name, [f"{GRADER_PREFIX}{known}" for known in GraderName])
    return Field(name.text, FieldType.SHARE, Origin.EVALUATION, path=(grader,))


def _setting(name: FieldName, setting: str) -> Field:
    if not _PATH.fullmatch(setting):
        raise UserError(
            f"{name.text!r}{_at(name)} is no setting; write for example {CONFIG_PREFIX}train.lr"
        )
    path = tuple(setting.split("."))
    return Field(name.text, FieldType.SETTING, Origin.CONFIG, path=path)


def _settings() -> tuple[str, ...]:
    from core.config.load import leaf_keys

    return leaf_keys()


def _unknown(name: FieldName, known: Iterable[str]) -> UserError:
    names = list(known)
    near = difflib.get_close_matches(name.text, names, n=_NAMED, cutoff=0.55)
    last = name.text.rsplit(".", 1)[-1]
    near = near or [known for known in names if known.rsplit(".", 1)[-1] == last][:_NAMED]
    hint = f"did you mean {' or '.join(near)}?" if near else "docs/queries.md lists the fields"
    if not near and name.text.startswith(METRIC_PREFIX):
        hint = f"the metrics recorded are {', '.join(sorted(names)) or 'none yet'}"
    return UserError(f"{name.text!r}{_at(name)} is no field; {hint}")


def _at(name: FieldName) -> str:
    return f" at character {name.place} of the filter" if name.place else ""
