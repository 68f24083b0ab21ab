"""Processes of the program that begin where a real one is when it has imported everything.

A start of the program costs seconds of imports, of which the kills, stops and resumes that tests
are about know nothing. So one process imports once and forks whatever it is asked for: processes
with a number, streams and a death of their own. Where the start itself is the point, and where
processes cannot be forked, they are started as ever.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_MESSAGE = 2**17
_FILES = 8
_ABOVE = 200
_IMPORTS = (
    *("a5ctl.app", "a5ctl.commands.run", "a5ctl.launch", "a5ctl.cells", "a5ctl.process"),
    *("transformers.models.qwen2.modeling_qwen2", "transformers.generation.utils"),
    *("trainers.sft_recipe", "trainers.ei_recipe", "trainers.grpo_recipe", "trainers.dpo_recipe"),
    *("trainers.rehearsal", "trainers.preflight_settled", "trainers.probe", "core.engines.hf"),
    *("core.registry.store", "core.registry.recorder", "core.registry.run_writes"),
    *("a5ctl.worker", "trainers.distributed.worker", "torch.distributed"),
    *("alembic.command", "alembic.autogenerate", "mako.template", "mako.ext.pygmentplugin"),
)


class WarmProcess:
    """What tests use of `subprocess.Popen`.

    Attributes:
        pid: Of the process.
        stdin: What it reads, where that was asked for.
        stdout: What it prints, on both streams; empty where that goes elsewhere.
        returncode: Its exit code, or minus a signal; None while it is not known to have ended.
    """

    def __init__(self, told: int, shown: int | None, written: int | None = None) -> None:
        self.stdout = io.StringIO() if shown is None else os.fdopen(shown, encoding="utf-8")
        self.stdin = None if written is None else os.fdopen(written, "wb", buffering=0)
        self.returncode: int | None = None
        self._told = os.fdopen(told, encoding="ascii")
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a warm process", timeout or 0.0)
            self.returncode = int(self._told.readline())
            self._told.close()
        return self.returncode

    def communicate(self, timeout: float = 60.0) -> tuple[str, None]:
        """Read what it prints until its end; it is killed when it takes longer."""
        deadline = time.monotonic() + timeout
        found = ""
        os.set_blocking(self.stdout.fileno(), False)
        while select.select([self.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            text = self.stdout.read()
            found += text
            if not text:
                self.stdout.close()
                self.wait(max(0.0, deadline - time.monotonic()))
                return found, None
        self.kill()
        raise subprocess.TimeoutExpired("a warm process", timeout, found)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


Started = subprocess.Popen[str] | WarmProcess


class Warm:
    """The process that forks; it starts when it is first needed, and ends with this one.

    Args:
        more: Modules that its processes need besides those of every run.
    """

    def __init__(self, *more: str) -> None:
        self._more = more
        self._line: socket.socket | None = None
        self._environment: dict[str, str] = {}

    def can_be(self, environment: Mapping[str, str]) -> bool:
        """Whether a process with these variables may be forked.

        Those that libraries look at while they are imported must be the same as they were.
        """
        if sys.platform != "linux":
            return False
        return self._line is None or _lasting(environment) == self._environment

    def start(
        self, entry: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]
    ) -> WarmProcess:
        """Start what `python *entry *arguments` would."""
        shown, show = os.pipe()
        told = self._ask(entry, arguments, environment, {1: show, 2: show})
        os.close(show)
        return WarmProcess(told, shown)

    def into(
        self,
        entry: Sequence[str],
        arguments: Sequence[str],
        environment: Mapping[str, str],
        streams: Mapping[int, int],
    ) -> WarmProcess:
        """The same, with these files as its streams, by number: 1 is what it prints on."""
        return WarmProcess(self._ask(entry, arguments, environment, streams), None)

    def popen(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: Any,
        stderr: Any,
        env: Mapping[str, str],
        pass_fds: Sequence[int],
        start_new_session: bool,
    ) -> WarmProcess:
        """Start what `subprocess.Popen` would with `python -P -c CODE ...`, as the launcher asks.

        What every new Python finds on its path and runs first (`sitecustomize`), it runs first.
        Its parent is another; the one that asked is in `STARTED_BY`.
        """
        assert (list(command[1:3]), stdin, start_new_session) == (
            ["-P", "-c"],
            subprocess.PIPE,
            True,
        )
        read, written = os.pipe()
        streams = {0: read, 1: _number(stdout, 1), 2: _number(stderr, 2)}
        streams |= {number: number for number in pass_fds}
        known = {**env, "STARTED_BY": str(os.getpid())}
        told = self._ask(("-c", command[3]), command[4:], known, streams)
        os.close(read)
        return WarmProcess(told, None, written)

    def _ask(
        self,
        entry: Sequence[str],
        arguments: Sequence[str],
        environment: Mapping[str, str],
        streams: Mapping[int, int],
    ) -> int:
        """Have it forked with these files under these numbers; returns what it is told by."""
        if self._line is None:
            self._environment = _lasting(environment)
            self._line = _serving(environment, self._more)
        told, tell = os.pipe()
        job = {
            "entry": entry,
            "arguments": arguments,
            "env": dict(environment),
            "cwd": os.getcwd(),
            "streams": list(streams),
        }
        socket.send_fds(self._line, [json.dumps(job).encode()], [tell, *streams.values()])
        os.close(tell)
        return told


def _number(stream: Any, usual: int) -> int:
    return usual if stream is None else stream.fileno()


def _lasting(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what is looked at when a command runs, and what the program sets for itself."""
    passing = (
        *("A5CTL_", "PYTEST_", "OMP_WAIT_POLICY", "TORCHINDUCTOR_CACHE_DIR", "PYTHONPATH"),
        # of one process among several
        *("RANK", "WORLD_SIZE", "LOCAL_", "GLOO_", "TORCH_CPP_LOG_LEVEL"),
    )
    return {name: value for name, value in environment.items() if not name.startswith(passing)}


def _serving(environment: Mapping[str, str], more: Sequence[str]) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(theirs.fileno()), *more],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            # forks take over its streams, which were made for pipes, as theirs will be
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        )
    return ours


def _serve(line: socket.socket) -> dict[str, Any] | None:
    """Fork for every job that comes; returns it in the process that is to do it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, _, _ = socket.recv_fds(line, _MESSAGE, _FILES)
        if not message:
            return None
        if os.fork() == 0:
            line.close()
            return _watched(json.loads(message), *files)
        for file in files:
            os.close(file)


def _watched(job: dict[str, Any], tell: int, *files: int) -> dict[str, Any]:
    """Fork once more; the parent says how the child ended, and goes."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        for file in set(files):
            os.close(file)
        # before anybody knows its number: who starts it may kill it with its group
        os.setpgid(child, child)
        os.write(tell, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(tell, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    os.close(tell)
    # out of the way first: one may have the number that another is to get
    kept = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for file in files]
    for file in set(files):
        os.close(file)
    for file, number in zip(kept, job["streams"], strict=True):
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return job


def _do(job: dict[str, Any]) -> None:
    """What Python does with its command line."""
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    _run_first()
    how, what = job["entry"]
    sys.argv = [how, *job["arguments"]]
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(what, "<string>", "exec"), main.__dict__)


def _code_of(job: dict[str, Any]) -> int:
    """Do it; returns the exit code that Python would end with."""
    try:
        _do(job)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return end.code or 0
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end_with(code: int) -> None:
    """Wait for threads, do what is to be done at the end, and go.

    Python would then take all that was ever imported apart, in pages that are shared until then:
    two seconds, in which nothing of the program runs.
    """
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:  # whoever read it has left, as Python says by this code
            code = code or 120
    os._exit(code)


def _run_first() -> None:
    """What Python imports before all else, where somebody has put it on the path."""
    for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        file = Path(folder, "sitecustomize.py")
        if folder and file.is_file():
            module = sys.modules["sitecustomize"] = types.ModuleType("sitecustomize")
            exec(compile(file.read_text(), str(file), "exec"), module.__dict__)
            return


if __name__ == "__main__":
    from core.models import prepare_imports

    prepare_imports()
    for name in (*_IMPORTS, *sys.argv[2:]):
        importlib.import_module(name)
    # a fork has only the thread that forked: another one might hold a lock for ever
    assert len(os.listdir("/proc/self/task")) == 1, "importing has started threads"
    # a collection would touch, and so copy, every page
    gc.freeze()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        _end_with(_code_of(asked))
