"""Every command and option is explained, exemplified and tried."""

import shlex
import subprocess
import sys
from typing import Any

import pytest
from rich.text import Text
from typer.testing import CliRunner

from a5ctl.app import build, known, outline
from tests.a5ctl import walk
from tests.a5ctl.conftest import House

COMMANDS = walk.commands()
ANYWHERE = frozenset({"--home", "--registry"})
"""Tried on every command by test_every_option.py."""
NO_JSON = {
    ("export", "runs"): "writes a file or JSON itself",
    ("export", "responses"): "writes a file or JSON lines itself",
    ("registry", "path"): "one line for scripts",
    ("ui",): "draws on a terminal",
}
WORKS = [
    *(("run", kind) for kind in ("sft", "ei", "grpo", "dpo", "eval")),
    *(("registry", name) for name in ("check", "backup", "copy", "repair", "gc", "migrate")),
    *((name,) for name in ("resume", "reproduce", "probe", "regrade", "grade", "import", "pairs")),
    *(("export", name) for name in ("runs", "responses")),
    *(("model", name) for name in ("make", "pretrain")),
    ("report",),
    ("plan", "run"),
]
"""Commands that do work which may take long."""


def title(path: tuple[str, ...]) -> str:
    return " ".join(path)


def examples(command: Any) -> list[str]:
    """The lines below `Examples:`."""
    _, found, text = (command.help or "").partition("Examples:")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines if found else []


@pytest.mark.parametrize("path", COMMANDS, ids=title)
def test_command_and_options_have_help(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    assert [p.name for p in command.params if not getattr(p, "help", "")] == []


@pytest.mark.parametrize("path", COMMANDS, ids=title)
def test_help_is_shown_as_it_is_written(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    texts = [command.help, *(parameter.help for parameter in command.params)]
    assert [text for text in texts if Text.from_markup(text).plain != text] == []


def test_help_says_defaults_and_shows_only_what_one_types() -> None:
    shown = {
        name: " ".join(CliRunner().invoke(build(name), [name, *more, "--help"]).output.split())
        for name, *more in (("run", "sft"), ("grade",), ("resume",))
    }
    assert "[default: (cosine)]" in shown["run"]
    assert "--json Print one JSON" in shown["grade"]
    assert "grade [OPTIONS] {FILE}" in shown["grade"]
    assert "spellings of TRL, verl and lm-evaluation-harness are understood" in shown["grade"]
    assert "Examples: a5ctl resume sft-256-k3f9" in shown["resume"]


def test_groups_have_help() -> None:
    groups = [c for c in walk.program().commands.values() if hasattr(c, "commands")]
    assert groups
    assert [group.name for group in groups if not group.help] == []


@pytest.mark.parametrize("path", COMMANDS, ids=title)
def test_examples_are_lines_that_the_program_takes(path: tuple[str, ...]) -> None:
    lines = [line for line in examples(COMMANDS[path]) if line.startswith("a5ctl ")]
    assert lines, "there is no example"
    assert any(resolve(line) == path for line in lines)


def resolve(line: str) -> tuple[str, ...]:
    """The command that a line calls, after all its options were parsed; nothing is run."""
    name, *words = shlex.split(line.split(" | ")[0], comments=True)
    assert name == "a5ctl", line
    command, context, path = walk.program(), None, ()
    while hasattr(command, "commands"):
        context = command.make_context(name, list(words), parent=context)
        words = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, words)
        path += (name,)
    command.make_context(path[-1], list(words), parent=context)
    return path


@pytest.mark.parametrize("path", COMMANDS, ids=title)
def test_every_option_is_tried(path: tuple[str, ...]) -> None:
    words = walk.tried()[path]
    assert words, f"no test runs a5ctl {title(path)}"
    known = walk.options(COMMANDS[path])
    missing = [name for name, names in known.items() if not words & set(names)]
    assert set(missing) <= ANYWHERE, f"a5ctl {title(path)}: no test gives these"


def test_exceptions_are_still_needed() -> None:
    for path in NO_JSON:
        assert "--json" not in walk.options(COMMANDS[path])


@pytest.mark.parametrize("path", COMMANDS, ids=title)
def test_json_wherever_data_are_printed(path: tuple[str, ...]) -> None:
    assert path in NO_JSON or "--json" in walk.options(COMMANDS[path])


@pytest.mark.parametrize("path", WORKS, ids=title)
def test_quiet_wherever_work_is_done(path: tuple[str, ...]) -> None:
    assert "--quiet" in walk.options(COMMANDS[path])


def test_quiet_is_a_habit_everywhere() -> None:
    quiet = [p for c in COMMANDS.values() for p in c.params if "--quiet" in p.opts]
    assert len(quiet) > len(WORKS) - 1
    assert {parameter.envvar for parameter in quiet} == {"A5CTL_QUIET"}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("compar",), "compare"),
        (("registry", "chek"), "check"),
        (("ls", "--limt", "3"), "--limit"),
        (("show", "sft-256-k3g9x"), "sft-256-k3f9x"),
        (("show", "firstt"), "first"),
        (("compare", "--group", "size"), "sizes"),
        (("ls", "--group", "size"), "sizes"),
        (("ls", "--kind", "stf"), "sft"),
        (("ls", "--status", "runing"), "running"),
        (("ls", "--sort", "acuracy"), "accuracy"),
        (("compare", "--grader", "strct"), "strict"),
        (("diagnose", "first", "--class", "wrong_numbr"), "wrong_number"),
        (("plot", "los", "first"), "loss"),
        (("run", "sft", "--set", "train.leng=1"), "train.max_length"),
        (("run", "sft", "--grader", "strct"), "strict"),
        (("run", "sft", "--on-alarm", "rolback"), "rollback"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_answered_with_the_nearest(
    small: House, words: tuple[str, ...], meant: str
) -> None:
    told = small.run(*words)
    assert told.exit_code == (0 if words[:2] in (("ls", "--group"), ("ls", "--kind")) else 2)
    text = " ".join(told.output.split())
    assert "did you mean" in text.lower() or "Possible options" in text
    assert meant in text


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> House:
    from core.registry.recorder import Recorder
    from core.registry.records import NewRun
    from core.workspace import Workspace
    from tests.a5ctl.handmade import evaluation, open_home, right

    home = tmp_path_factory.mktemp("names")
    registry = open_home(home)
    config = {"kind": "sft"}
    new = NewRun(
        kind="sft", config=config, config_hash="c", model="m", data="d",
        id="sft-256-k3f9x", name="first", group="sizes",
    )  # fmt: skip
    run = registry.create_run(new)
    with Recorder(registry, run.uuid, Workspace(home).run_folder(run.id)) as recorder:
        recorder.metrics(1, {"loss": 1.0})
        recorder.evaluation(evaluation([right(10)]))
    registry.close()
    return House(home, home, home)


def test_a_line_builds_only_what_it_calls() -> None:
    whole, one, group = build(), build("ls"), build("plan")
    assert [command.name for command in one.registered_commands] == ["ls"]
    assert not one.registered_groups
    assert [found.name for found in group.registered_groups] == ["plan"]
    everything = [command.name for command in whole.registered_commands]
    assert [command.name for command in build("nobody").registered_commands] == everything


@pytest.mark.parametrize(("called", "others"), [("ls", "compare"), ("run", "plan_run")])
def test_modules_of_other_commands_are_not_imported(called: str, others: str) -> None:
    code = "import sys; from a5ctl.app import build; build(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, called], capture_output=True, text=True, check=True
    )
    modules = done.stdout.split()
    assert f"a5ctl.commands.{called}" in modules
    assert f"a5ctl.commands.{others}" not in modules


def test_the_outline_reads_like_the_whole_program() -> None:
    runner = CliRunner()
    shown = [
        runner.invoke(program, ["--help"], env={"COLUMNS": "100"}).output
        for program in (build(), outline())
    ]
    assert shown[0] == shown[1]
    assert "compare" in shown[0]


def test_every_name_of_the_outline_is_a_command_and_a_wrong_one_is_answered() -> None:
    assert {name for name, *_ in COMMANDS} == known()
    wrong = CliRunner().invoke(outline(), ["compar"])
    assert wrong.exit_code == 2
    assert "compare" in wrong.output
