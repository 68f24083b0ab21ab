"""What the Tab key offers: runs, groups, metrics, settings and other names, read while one types.

Parameters get what fits their name (`BY_NAME`) when a command is registered; one that is called
otherwise gives a `complete_*` as its `autocompletion=`. They are asked at every press of the key,
so they read little, import little, and say nothing where they know nothing: a registry that is
missing, locked, damaged or on a server offers no names. Names that a shell would take apart or act
on are not offered either.
"""

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import typer
from typer.models import ParameterInfo

from a5ctl.format import percent

Items = list[tuple[str, str]]
Completer = Callable[[typer.Context, str], Items]

_MOST = 200
_WAIT_S = 0.1  # for a registry that another program holds
# no space, quote, star, dollar or semicolon: bash splits and globs what it is told, zsh evaluates
_SAFE = re.compile(r"[+-]?[A-Za-z0-9_./~][A-Za-z0-9_.,:/@%+=-]*")
_UNSAFE_IN_HELP = re.compile(r"[^A-Za-z0-9 _.,%+/-]")
_EVALUATED = ("accuracy", "unclosed", "truncated", "unparseable")
_RUNS = """SELECT r.id, r.kind, r.status, r.name, (SELECT e.accuracy FROM evaluation e
        WHERE e.run = r.key ORDER BY e.step DESC, e.key DESC LIMIT 1)
    FROM run r ORDER BY r.created DESC, r.key DESC"""
_GROUPS = """SELECT "group", COUNT(*) FROM run WHERE "group" IS NOT NULL
    GROUP BY "group" ORDER BY MAX(created) DESC"""
_METRICS = "SELECT name FROM metric_name ORDER BY name"


def _silent(find: Completer) -> Completer:
    """No error may reach the line that a person is typing; help is made harmless on the way."""

    @functools.wraps(find)
    def wrapper(ctx: typer.Context, incomplete: str) -> Items:
        try:
            found = find(ctx, incomplete)
        except Exception:
            return []  # a wrong line tells its error when it is run
        return [(value, _harmless(text)) for value, text in found if _SAFE.fullmatch(value)][:_MOST]

    return wrapper


@_silent
def complete_run(ctx: typer.Context, incomplete: str) -> Items:
    """Ids of runs, newest first, with kind, status and last accuracy; then fitting names."""
    runs = _runs(ctx)
    named = [(name, f"{id_} {text}") for id_, name, text in runs if name and name[0] not in "+-"]
    by_id = _among([(id_, text) for id_, _, text in runs], incomplete)
    return by_id + (_among(named, incomplete) if incomplete else [])


@_silent
def complete_run_or_model(ctx: typer.Context, incomplete: str) -> Items:
    """What `--init` takes: `builtin`, or a run."""
    model = _among([("builtin", "the model in the package")], incomplete)
    return model + complete_run(ctx, incomplete)


@_silent
def complete_run_or_tag(ctx: typer.Context, incomplete: str) -> Items:
    """Runs, and after + or - the tags that runs have."""
    if not incomplete.startswith(("+", "-")):
        return complete_run(ctx, incomplete)
    import json

    rows = _read(ctx, "SELECT DISTINCT tags FROM run WHERE tags NOT IN ('', '[]')")
    tags = {str(tag) for (text,) in rows for tag in json.loads(text or "[]")}
    return _among([(f"{incomplete[0]}{tag}", "") for tag in sorted(tags)], incomplete)


@_silent
def complete_group(ctx: typer.Context, incomplete: str) -> Items:
    """Groups, that of the newest run first, with the number of their runs."""
    rows = _read(ctx, _GROUPS)
    return _among([(str(name), f"{count} runs") for name, count in rows], incomplete)


@_silent
def complete_metric(ctx: typer.Context, incomplete: str) -> Items:
    """Metrics that this registry holds, and those of evaluations; after a comma the next one."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    names = [*_EVALUATED, *(str(name) for (name,) in _read(ctx, _METRICS))]
    names += [f"accuracy.{grader}" for grader, _ in _graders()]
    fitting = _among([(name, "") for name in names if name not in taken], last)
    return [(f"{before}{comma}{name}", text) for name, text in fitting]


@_silent
def complete_grader(ctx: typer.Context, incomplete: str) -> Items:
    """The graders."""
    return _among(_graders(), incomplete)


@_silent
def complete_failure(ctx: typer.Context, incomplete: str) -> Items:
    """The classes of failure."""
    from core.responses.names import FailureClass

    return _among([(str(name), "") for name in FailureClass], incomplete)


@_silent
def complete_setting(ctx: typer.Context, incomplete: str) -> Items:
    """Settings for `--set`: names with `=` behind them, then the values of those that have few."""
    known = _settings()
    if "=" in incomplete:
        offered = [(f"{key}={one}", "") for key in known for one in few_values(key)]
        return _among(offered, incomplete)
    return _among([(f"{key}=", "") for key in known], incomplete)


@_silent
def complete_plan(ctx: typer.Context, incomplete: str) -> Items:
    """TOML files of the folder that was begun; where there are none the shell offers its own."""
    folder, slash, start = incomplete.rpartition("/")
    place = Path(folder + slash or ".").expanduser()
    found = sorted(path.name for path in place.glob("*.toml") if path.name.startswith(start))
    return [(f"{folder}{slash}{name}", "") for name in found]


@_silent
def complete_subject(ctx: typer.Context, incomplete: str) -> Items:
    """What a report can be about: runs, groups and files of plans."""
    about = complete_run(ctx, incomplete) + complete_group(ctx, incomplete)
    return about + complete_plan(ctx, incomplete)


def few_values(setting: str) -> tuple[str, ...]:
    """What a setting can be, where that is a choice of few."""
    return _settings()[setting][1] if setting in _settings() else ()


def default_of(setting: str) -> str | None:
    """What a setting is where nothing says otherwise; None where it is open."""
    return _settings()[setting][0] if setting in _settings() else None


@functools.cache
def _settings() -> dict[str, tuple[str | None, tuple[str, ...]]]:
    """Default and few values of each setting."""
    from a5ctl.setting_names import SETTINGS

    found = {}
    for named, *few in map(str.split, SETTINGS.splitlines()):
        key, _, default = named.partition("=")
        found[key] = (default or None, tuple(few))
    return found


def one_of(*values: str) -> Completer:
    """Offers fixed values, such as those of `--engine`."""

    @_silent
    def complete(ctx: typer.Context, incomplete: str) -> Items:
        return _among([(value, "") for value in values], incomplete)

    return complete


BY_NAME: dict[str, Completer] = {
    **dict.fromkeys(
        ("run", "runs", "baseline", "lineage", "against", "diff", "with_", "solved_run"),
        complete_run,
    ),
    **dict.fromkeys(("reference", "protocol", "a", "b"), complete_run),
    "init": complete_run_or_model,
    "arguments": complete_run_or_tag,
    "what": complete_subject,
    "group": complete_group,
    "metric": complete_metric,
    **dict.fromkeys(("grader", "train_grader"), complete_grader),
    "class_": complete_failure,
    "x": one_of("step", "time", "tokens"),
    "at": one_of("best", "last", "budget"),
    "set_": complete_setting,
    **dict.fromkeys(("plan", "criteria", "config"), complete_plan),
    "kind": one_of("sft", "ei", "grpo", "dpo", "eval"),
    "status": one_of("queued", "running", "finished", "failed", "interrupted", "stale", "lost"),
    "engine": one_of("auto", "vllm", "hf"),
    "device": one_of("auto", "cpu", "cuda"),
    "filter_": one_of("correct", "solved-by"),
    "prompt": one_of("think_answer", "question_only", "instruction", "multiple_choice"),
}
"""What parameters of these names are completed with."""


def offer(command: Callable[..., Any]) -> None:
    """Let the Tab key complete a command's parameters by their names."""
    of_plans = {"file": complete_plan} if ".plan_" in command.__module__ else {}
    for name, parameter in inspect.signature(command).parameters.items():
        for info in get_args(parameter.annotation)[1:]:
            if isinstance(info, ParameterInfo) and info.autocompletion is None:
                info.autocompletion = BY_NAME.get(name) or of_plans.get(name)


def _among(items: Iterable[tuple[str, str]], incomplete: str) -> Items:
    return [item for item in items if item[0].startswith(incomplete)]


def _graders() -> Items:
    from core.responses.names import GraderName

    return [(str(name), "") for name in GraderName]


def _runs(ctx: typer.Context) -> list[tuple[str, str | None, str]]:
    """(id, name, help) of all runs, newest first."""
    return [
        (id_, name, " ".join([kind, status, *([] if got is None else [percent(got)])]))
        for id_, kind, status, name, got in _read(ctx, _RUNS)
    ]


def _read(ctx: typer.Context, sql: str) -> Sequence[tuple[Any, ...]]:
    """Rows of the registry that the line means; none where it is on a server or cannot be read."""
    from core.registry.database import Database, RegistryUnavailableError
    from core.workspace import Workspace

    home = ctx.params.get("home") or os.environ.get("A5CTL_HOME") or Path.cwd()
    root = Path(home).expanduser().absolute()
    database = Database(Workspace(root).registry_url(ctx.params.get("registry")), _WAIT_S)
    if database.path is None:
        return []
    try:
        return database.read(sql)
    except RegistryUnavailableError:
        return []
    finally:
        database.close()


def _harmless(text: str) -> str:
    return _UNSAFE_IN_HELP.sub("?", text)[:80]
