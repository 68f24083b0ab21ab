"""The Tab key: asked the way a shell asks, on a registry that holds hostile names too."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.registry.store import open_registry
from core.workspace import Workspace
from tests.a5ctl.conftest import ROOT
from tests.a5ctl.handmade import evaluation, record, right, wrong

HOSTILE = (
    "$(touch caught)",
    "`touch caught`",
    "a;touch caught",
    "*",
    "two words",
    "l\nine",
    "\x1b[2J",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completed")
    half = [evaluation([right(10), wrong(11)])]
    record(folder, "sft-256-old1", half, group="sizes")
    record(folder, "grpo-new2", half, kind="grpo", group="rates")
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    for number, name in enumerate(HOSTILE):
        new = NewRun(
            kind="sft", config={"kind": "sft"}, config_hash="c", model="m", data="d",
            id=f"sft-bad{number}", name=name, group=name, tags=(name, "good"),
        )  # fmt: skip
        registry.create_run(new)
    run = registry.find_run("grpo-new2")
    with Recorder(registry, run.uuid, Workspace(folder).run_folder(run.id)) as recorder:
        recorder.metrics(1, {"loss": 1.0, "reward": 0.5})
    registry.close()
    return folder


def tab(home: Path, *words: str, **environment: str) -> list[str]:
    """What is offered for the last word; nothing else may be printed."""
    from a5ctl.app import app

    asked = {
        "_A5CTL_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(["a5ctl", *words]),
        "COMP_CWORD": str(len(words)),
        "A5CTL_HOME": str(home),
    }
    result = CliRunner(env={**asked, **environment}).invoke(app, [], prog_name="a5ctl")
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("show", "grpo"), ["grpo-new2"]),
        (("show", "sft-2"), ["sft-256-old1"]),
        (("export", "grpo"), ["grpo-new2"]),
        (("plot", "loss", "grpo"), ["grpo-new2"]),
        (("plot", "los"), ["loss"]),
        (("plot", "loss,rew"), ["loss,reward"]),
        (("compare", "--group", "s"), ["sizes"]),
        (("compare", "--baseline", "grpo"), ["grpo-new2"]),
        (("diagnose", "--class", "trail"), ["trailing_text"]),
        (("run", "sft", "--grader", "str"), ["strict"]),
        (("run", "sft", "--set", "train.min"), ["train.min_lr_ratio="]),
        (("run", "sft", "--set", "train.schedule=l"), ["train.schedule=linear"]),
        (("run", "grpo", "--init", "b"), ["builtin"]),
        (("run", "eval", "--engine", ""), ["auto", "vllm", "hf"]),
        (("tag", "sft-2"), ["sft-256-old1"]),
        (("report", "siz"), ["sizes"]),
        (("report", "grpo"), ["grpo-new2"]),
        (("doct",), ["doctor"]),
        (("plot", "loss", "--x", "t"), ["time", "tokens"]),
    ],
)  # fmt: skip
def test_tab_offers_what_fits(home: Path, words: tuple[str, ...], offered: list[str]) -> None:
    assert tab(home, *words) == offered


def test_runs_come_newest_first_and_help_says_what_they_are(home: Path) -> None:
    offered = tab(home, "show", "")
    assert offered[0] == f"sft-bad{len(HOSTILE) - 1}"
    assert offered.index("grpo-new2") < offered.index("sft-256-old1")
    asked = {"_A5CTL_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "a5ctl show grpo"}
    from a5ctl.app import app

    runner = CliRunner(env={**asked, "A5CTL_HOME": str(home)})
    told = runner.invoke(app, [], prog_name="a5ctl").stdout
    assert "grpo finished 50.0%" in told


def test_the_home_that_stands_on_the_line_counts(home: Path, tmp_path: Path) -> None:
    assert tab(tmp_path, "show", "--home", str(home), "grpo") == ["grpo-new2"]
    assert tab(tmp_path, "show", "grpo") == []


def test_plans_are_toml_files(home: Path, tmp_path: Path) -> None:
    for name in ("sizes.toml", "sizes.txt", "$(x).toml"):
        (tmp_path / name).touch()
    for words in (("compare", "--criteria"), ("plan", "check"), ("run", "sft", "--config")):
        assert tab(home, *words, f"{tmp_path}/") == [f"{tmp_path}/sizes.toml"]


@pytest.mark.parametrize("content", [None, b"", b"no database at all"])
def test_without_a_usable_registry_nothing_is_offered(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "registry.db").write_bytes(content)
    before = sorted(tmp_path.iterdir())
    assert tab(tmp_path, "show", "") == []
    assert tab(tmp_path, "plot", "acc")[0] == "accuracy"
    assert sorted(tmp_path.iterdir()) == before


def test_a_server_is_not_asked(tmp_path: Path) -> None:
    url = "postgresql://nobody@192.0.2.1/none"
    assert tab(tmp_path, "show", "", A5CTL_REGISTRY=url) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_installed_in_bash_it_neither_splits_nor_runs_what_names_say(
    home: Path, tmp_path: Path
) -> None:
    program = tmp_path / "a5ctl"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'a5ctl'\n"
        "from a5ctl.__main__ import main\nmain()\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    script = """
        a5ctl --install-completion > told || cat told
        source "$HOME/.bash_completions/a5ctl.sh"
        for line in "show |" "compare --group |" "tag +|"; do
            COMP_WORDS=(a5ctl ${line%|*}); [ "${line: -2}" = " |" ] && COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
            _a5ctl_completion a5ctl
            printf '%s\\n' "${COMPREPLY[@]}"
        done
    """
    environment = {
        **os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "A5CTL_HOME": str(home), "HOME": str(tmp_path / "me"),
    }  # fmt: skip
    (tmp_path / "me").mkdir()
    ended = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    offered = ended.stdout.split("\n")[:-1]
    ids = [f"sft-bad{number}" for number in reversed(range(len(HOSTILE)))]
    assert offered == [*ids, "grpo-new2", "sft-256-old1", "rates", "sizes", "+good"]
    assert {path.name for path in tmp_path.iterdir()} == {"a5ctl", "me", "told"}
    assert "a5ctl.sh" in (tmp_path / "me" / ".bashrc").read_text()
