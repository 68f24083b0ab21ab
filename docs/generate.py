"""Writes docs/cli.md from the program, docs/schema.md and docs/watchdog.md from their tables.

    python docs/generate.py

A test fails when the files are not what this prints.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

FOLDER = Path(__file__).parent
_NOTE = "<!-- Written by docs/generate.py; edit the program, not this file. -->"


def generated() -> dict[Path, str]:
    """Every generated file with its text."""
    return {
        FOLDER / "cli.md": cli_reference(),
        FOLDER / "schema.md": schema_reference(),
        FOLDER / "watchdog.md": watchdog_reference(),
        FOLDER / "metrics.md": metrics_reference(),
        FOLDER / "fits.md": what_fits(),
        FOLDER.parent / "a5ctl" / "setting_names.py": setting_names(),
        FOLDER.parent / "a5ctl" / "command_summaries.py": command_summaries(),
    }


def what_fits() -> str:
    """What `a5ctl model fits` says of the two shapes that most people train."""
    parts = [f"# What fits\n\n{_NOTE}", _FITS]
    for shape in ("qwen2.5-0.5b", "qwen2.5-1.5b"):
        parts.append(f"## {shape}\n\n```\n$ a5ctl model fits {shape}\n{_fits_of(shape)}```")
    return "\n\n".join(parts) + "\n"


def _fits_of(shape: str) -> str:
    from io import StringIO

    from rich.console import Console

    from a5ctl.tables.fits import commands_text, fits_table
    from trainers.memory_fits import Asked, find_fits, read_model

    config, parameters, packed = read_model(shape)
    asked = Asked(shape, config, parameters, (24, 40, 80), packed=packed)
    found = find_fits(asked)
    written = StringIO()
    console = Console(file=written, width=80, color_system=None, force_terminal=False)
    console.print(fits_table(asked, found))
    written.write("\n".join(commands_text(asked, found)) + "\n")
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


_FITS = """\
Estimated memory of training on one GPU of 24, 40 or 80 GB that vLLM shares, asleep while the
policy learns. A cell says the peak in GiB and the tokens per forward pass, which a run chooses
itself, as it chooses checkpointing; `no` comes with the least that it would take. `bfloat16` takes
as much as `stochastic`. No GPU has measured these figures; [memory](memory.md) says where they come
from, and what they leave out."""


def command_summaries() -> str:
    """What each command does, in a line, for the help of the whole program."""
    from typer.main import get_command

    from a5ctl.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    firsts = {
        name: " ".join(command.help.partition("\n\n")[0].split())
        for name, command in commands.items()
        if not hasattr(command, "commands")
    }
    lines = [f"    {json.dumps(name)}: {json.dumps(text)}," for name, text in firsts.items()]
    return "\n".join([_SUMMARIES_HEAD, *lines, "}", ""])


_SUMMARIES_HEAD = '''"""What every command does, so that the program's help imports none of them.

Written by docs/generate.py; edit the commands, not this file.
"""

# fmt: off
# ruff: noqa: E501
SUMMARIES = {'''


def setting_names() -> str:
    """A module with the names of all settings and the values of those that have few.

    Importing the settings themselves takes longer than the completion of a line may.
    """
    from core.config.schema import RunConfig

    fields = list(_fields(RunConfig, ""))
    lines = [" ".join([name, *_choices(field)]) for name, field in fields]
    defaults = [f"{name} {shown}" for name, field in fields if (shown := _plain_default(field))]
    written = {"SETTINGS": lines, "DEFAULTS": defaults}
    tables = [f'{name} = """\\\n' + "\n".join(rows) + '\n"""\n' for name, rows in written.items()]
    return f'"""{_NAMES}"""\n\n' + "\n".join(tables)


_NAMES = """\
Settings with the values of those that have few, for the Tab key, and their defaults, for help.

Written by docs/generate.py; edit core/config, not this file.
"""


def cli_reference() -> str:
    """All commands with their arguments, options and examples."""
    from typer.main import get_command

    from a5ctl.app import app

    parts = [
        f"# Commands\n\n{_NOTE}",
        "Every command also takes `--help`. Where an environment variable is named, it gives the "
        "value when the option is absent. Settings of a run that have no option of their own are "
        "reached with `--set`; their names stand at the end.",
        _exit_codes(),
        _variables(get_command(app)),
        *_commands(get_command(app), "a5ctl"),
        _settings(),
    ]
    return "\n\n".join(parts) + "\n"


def _exit_codes() -> str:
    from a5ctl.exit_codes import ExitCode

    rows = [(f"{int(code)}", code.meaning) for code in ExitCode]
    return f"## Exit codes\n\n{_rows(('code', 'meaning'), rows)}"


def _variables(program: Any) -> str:
    """Every environment variable that is read, with what it stands for."""
    from a5ctl.defaults import VARIABLES

    found = {name: f"default of the setting `{key}`" for name, key in VARIABLES.items()}
    for parameter in _parameters(program):
        if parameter.envvar and parameter.envvar not in found:
            option = max(parameter.opts, key=len)
            found[parameter.envvar] = f"`{option}`: {parameter.help}"
    found["NO_COLOR"] = "no colours, whatever its value; so does a pipe"
    rows = [(f"`{name}`", meaning) for name, meaning in sorted(found.items())]
    return f"## Environment variables\n\n{_ORDER}\n\n{_rows(('variable', 'meaning'), rows)}"


_ORDER = """\
Settings of a run come from, the strongest first: `--set`, options, the `--config` file (or what \
`--init`, `--run` and `--protocol` take over from a run), variables, `a5ctl.toml` in the workspace \
(`a5ctl init` writes one), built-in defaults. Engine, device and threads belong to the machine: \
their variables, and what `a5ctl.toml` says of them, win over what an earlier run had. The record \
of a run says which of its settings came from `a5ctl.toml` or a variable (`a5ctl show RUN`, \
provenance, `defaults`)."""


def _parameters(command: Any) -> Iterator[Any]:
    yield from command.params
    for child in getattr(command, "commands", {}).values():
        yield from _parameters(child)


def metrics_reference() -> str:
    """Every metric of updates and evaluations."""
    from trainers.metric_table import METRICS, Topic

    parts = [f"# Metrics\n\n{_NOTE}", _METRICS]
    for topic in Topic:
        rows = [
            (
                f"`{metric.name}`",
                str(metric.unit),
                metric.formula + ("; once per batch" if metric.once_per_batch else ""),
                f"`{metric.source}`",
            )
            for metric in METRICS
            if metric.topic is topic
        ]
        parts += [f"## {topic}", *([_EVALUATED] if topic is Topic.EVALUATION else [])]
        parts += [_rows(("metric", "unit", "formula", "source"), rows)]
    return "\n\n".join(parts) + "\n"


_METRICS = """\
An update records metrics under its step; `a5ctl plot METRIC RUN...` draws them, `a5ctl show RUN` \
lists them, `--where "metric.loss.min < 0.4"` finds runs by them ([queries](queries.md)). Values \
are 64-bit floats; NaN and infinities are kept as what they are. *Once per batch* stands for the \
first update after a batch of rollouts was sampled. Formulas of the losses are in \
`trainers/objectives`."""

_EVALUATED = """\
Every response is graded by every grader; intervals are 95% Wilson intervals. \
[Grading](grading.md) has the rules. `a5ctl plot` draws all but the counts and the gaps."""


def schema_reference() -> str:
    """All tables with their columns, keys and indexes."""
    from sqlmodel import SQLModel

    from core.registry import schema
    from core.registry.views import VIEWS

    models = sorted(
        (m for m in vars(schema).values() if _is_table(m, SQLModel)),
        key=lambda m: str(m.__tablename__),
    )
    introduction = (
        "Times are seconds since the epoch (UTC). Columns that hold JSON are text. A row goes when "
        "the row it belongs to goes."
    )
    parts = [introduction, *map(_table, models), *itertools.starmap(_view, VIEWS.items())]
    return "\n\n".join([f"# Registry\n\n{_NOTE}", *parts]) + "\n"


def watchdog_reference() -> str:
    """All rules of the watchdog, and what a run does about them."""
    from trainers.watchdog import QUIET_STEPS, RULES

    rows = [
        (
            f"`{rule.name}`",
            rule.signal,
            f"{rule.threshold:g}",
            f"{rule.evidence}",
            ", ".join(f"`{name}`" for name in rule.needs),
            rule.severity,
            rule.remedy,
            rule.advice,
        )
        for rule in RULES
    ]
    header = ("rule", "signal", "alarm from", "evidence", "needs", "severity", "remedy", "advice")
    return (
        "\n\n".join(
            [
                f"# Watchdog\n\n{_NOTE}",
                _WATCHDOG.format(quiet=QUIET_STEPS),
                _rows(header, rows),
                _REACTIONS,
                *_watched_runs(),
            ]
        )
        + "\n"
    )


def _watched_runs() -> Iterator[str]:
    """What the rules about rollouts said about runs that fail, and about healthy ones."""
    from trainers.watchdog import RULES

    stored = FOLDER.parent / "benchmarks" / "results" / "watchdog_rollouts.json"
    parts = json.loads(stored.read_text(encoding="utf-8"))["parts"]
    places = {rule.name: place for place, rule in enumerate(RULES)}
    rows = [
        (f"`{rule}`", part, run["name"], f"{run['seed']}", *_how_soon(found))
        for part, runs in parts.items()
        for run in runs["runs"]
        for rule, found in run["expected"].items()
        if found["visible"] is not None
    ]
    rows.sort(key=lambda row: places[row[0].strip("`")])
    yield _WATCHED
    yield _rows(("rule", "model", "run", "seed", "seen from update", "told at"), rows)
    healthy = [
        (part, f"{runs['healthy']}", f"{runs['healthy_updates']:,}", f"{told}")
        for part, runs in parts.items()
        if (told := runs["healthy_with_alarms"]) is not None and runs["healthy"]
    ]
    yield _HEALTHY
    yield _rows(("runs", "healthy", "their updates", "with alarms"), healthy)
    yield _LIMITS


def _how_soon(found: Mapping[str, Any]) -> tuple[str, str]:
    told = "no, within the updates it had" if found["caught"] is None else "not within ten"
    return f"{found['visible']}", told if found["alarm"] is None else f"{found['alarm']}"


_WATCHDOG = """\
Every update and every evaluation after the first update goes through these rules. What a rule \
needs and a method does not record leaves it silent. An alarm is an event of the run (`a5ctl \
show RUN`): its message names the figures, the problems of the worst batch or the responses that \
show it, and what to do; its data holds the figures again, up to five of those responses (their \
last 160 characters), and the first step that is suspect. A rule that goes on being true is told \
once; a rule for updates fires again after {quiet} steps without its signal, one for evaluations \
after an evaluation without it. Rules about rollouts take the first batch as what the run began \
with, because the initial policy has sampled it; responses to one problem count as much alike \
there, so that batches of few problems are looked at longer."""

_REACTIONS = """\
## What a run does about it

`--on-alarm warn` (the default) records and goes on; severity `error` ends the run even so. \
`stop` ends it at the alarm. `rollback` goes back and learns more slowly:

1. It takes the best evaluated checkpoint from before the first suspect step whose own \
evaluation raises no alarm; where none was evaluated, the newest one; where there is none, the \
initial weights. Damaged checkpoints are passed over. `--keep-best`, and what a rollback may \
want, stay on disk beside `--keep-last`.
2. The learning rate is halved from there on. The factor belongs to the saved state, so a run \
that is killed and resumed after a rollback gives bitwise the same numbers.
3. An event `rollback` says from where, to where, and why. The undone steps stay in the registry \
as an older segment, which no table or curve shows. The examples come in the same order as \
before.
4. After `train.max_rollbacks` of them the next alarm stops the run. So does, at once, an alarm \
whose remedy is `stop`: a lower rate would not help it. Remedy `none` is told at the end of a \
run and never stops it."""

_WATCHED = """\
## What the rules about rollouts were shown on

Runs of `a5ctl run grpo` that truly fail: a reward pays for the failure, the rate is 10 or 100 \
times too high, many updates use one batch, or an engine gets no weights after its fourth copy. \
Nothing else of them is made up; cases, options and marks are in `benchmarks/watchdog_cases.py`, \
messages and courses in `benchmarks/results/watchdog_rollouts.json`. A failure is *seen* at the \
first of three updates in a row whose records are beyond a mark well below the rule's threshold: a \
share that moved by 5 or 10 points from the first batch, half of the right answers or of the \
entropy lost, twice the first entropy or engine gap, 0.1 nats of divergence, a tenth of the tokens \
clipped. Its rule has to tell it at most ten updates later. *Built-in model*: from an SFT-128 run, \
batches of 32 to 96 responses in groups of 4; *72 sums*: a model of some thousand parameters that \
learned to add small numbers."""

_HEALTHY = """\
Healthy runs, replayed through the table as it is now. *Experiments* are those of \
`examples/experiments`, by which no rule was settled. The three with alarms take 4 or 16 updates \
from a batch; in each the gradient of single updates truly jumped, to 115 to 388 times its median. \
No rule about rollouts spoke in any of them:"""

_LIMITS = """\
What this does not show:

- Thresholds were settled on the failing runs above, one of each kind on the built-in model, and \
on made-up courses; held out are only the healthy runs named so, replayed after the last \
change, and the experiments. Of the twelve held out, four are Expert Iteration with few batches \
each, one is the cut-off twin of another, three had been used to see how alike siblings are, and \
one of those lost 14 points of format in six updates. No failing run is held out.
- Failures came fast, at high rates. A slow drift is told later, and `format_hacked` is sure of a \
fall from 30% to nothing only once about 24 problems are in a batch: with 8 of them other rules \
have to tell it.
- `template_copied` needed a start whose training data held copies: the built-in model never \
copies its template by itself, and no reward can raise what is never said.
- `engine_gap` tells an engine that stays behind. One missed copy doubled the gap at most, which \
is not told; and where a policy falls apart, bfloat16 alone may widen it threefold, so that it \
spoke in a run whose copies all arrived (second think blocks pay).
- Shares compare with the first batch of the run. What was wrong with the policy before it is the \
business of the evaluation and of `a5ctl diagnose`."""


def _commands(command: Any, name: str) -> Iterator[str]:
    for child_name, child in getattr(command, "commands", {}).items():
        if getattr(child, "commands", None):
            yield from _commands(child, f"{name} {child_name}")
        else:
            yield _command(child, f"{name} {child_name}")


def _command(command: Any, name: str) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join(
        [name, *(_placeholder(p) for p in arguments), *(["[OPTIONS]"] * bool(options))]
    )
    parts = [f"## {name}", f"```\n{usage}\n```", _prose(command.help or "")]
    if arguments:
        parts.append(_rows(("argument", "meaning"), [_argument(p) for p in arguments]))
    if options:
        parts.append(_rows(("option", "meaning", "default"), [_option(p) for p in options]))
    return "\n\n".join(parts)


def _prose(text: str) -> str:
    """The help text; its examples become one code block."""
    prose, _, examples = text.partition("Examples:")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    block = ["\n".join(["For example:\n", "```", *lines, "```"])] if lines else []
    return "\n\n".join([prose.strip(), *block])


def _placeholder(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    name += "..." if parameter.nargs == -1 else ""
    return name if parameter.required else f"[{name}]"


def _argument(parameter: Any) -> tuple[str, ...]:
    return f"`{_placeholder(parameter)}`", parameter.help or ""


def _option(parameter: Any) -> tuple[str, ...]:
    names = ", ".join(sorted(parameter.opts, key=len, reverse=True))
    value = "" if parameter.is_flag else f" {parameter.metavar or 'VALUE'}"
    variable = f" (`{parameter.envvar}`)" if parameter.envvar else ""
    silent = parameter.is_flag or parameter.default is None or parameter.required
    default = "required" if parameter.required else "" if silent else f"`{parameter.default}`"
    if isinstance(parameter.show_default, str):
        default = f"`{parameter.show_default}`"
    return f"`{names}{value}`", (parameter.help or "") + variable, default


def _settings() -> str:
    """Every leaf of the configuration with its default and its docstring."""
    from core.config.schema import RunConfig

    rows = list(_leaves(RunConfig, ""))
    table = _rows(("setting", "meaning", "default"), rows)
    return f"## Settings\n\nFor `--set` and TOML files.\n\n{table}"


def _leaves(section: Any, prefix: str) -> Iterator[tuple[str, ...]]:
    for name, field in _fields(section, prefix):
        default = _plain_default(field) or ("" if field.default in (None, ()) else field.default)
        shown = f"`{default}`" if default else ""
        yield f"`{name}`", " ".join((field.description or "").split()), shown


def _plain_default(field: Any) -> str:
    """A default as one types it, where it is a word or a number."""
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return str(field.default) if isinstance(field.default, str | int | float) else ""


def _fields(section: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name."""
    for name, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _choices(field: Any) -> list[str]:
    """What a setting may be, where it is one of few."""
    kinds = [field.annotation, *get_args(field.annotation)]
    found: list[str] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            found += [str(member) for member in kind]
        elif kind is bool:
            found += ["true", "false"]
        elif get_origin(kind) is Literal:
            found += [str(value) for value in get_args(kind)]
    return found


def _is_table(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base) and hasattr(value, "__table__")


def _table(model: Any) -> str:
    table = model.__table__
    rows = [(f"`{c.name}`", str(c.type), _column_notes(c)) for c in table.columns]
    parts = [f"## {table.name}", " ".join(model.__doc__.split())]
    parts.append(_rows(("column", "type", "notes"), rows))
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    if indexes:
        parts.append("Indexes: " + "; ".join(map(_index, indexes)) + ".")
    return "\n\n".join(parts)


def _view(name: str, view: Any) -> str:
    columns = ", ".join(f"`{column}`" for column in view.columns)
    return f"## {name} (view)\n\n{view.meaning}\n\nColumns: {columns}."


def _column_notes(column: Any) -> str:
    notes = ["primary key"] if column.primary_key else []
    notes += ["unique"] if column.unique else []
    notes += [f"refers to `{key.target_fullname}`" for key in sorted(column.foreign_keys, key=str)]
    notes += ["may be empty"] if column.nullable else []
    return ", ".join(notes)


def _index(index: Any) -> str:
    columns = ", ".join(f"`{column.name}`" for column in index.columns)
    return f"{columns} (unique)" if index.unique else columns


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
