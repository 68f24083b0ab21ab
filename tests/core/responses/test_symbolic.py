import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core.responses.symbolic import Comparison, Question, SymbolicComparer, SymbolicWorker

ROOT = Path(__file__).parents[3]
AMPLE_S = 60.0
"""Limit of a comparison that ends by itself at once, on the busiest machine too."""


@pytest.fixture(scope="module")
def comparer():
    comparer = SymbolicComparer()
    yield comparer
    comparer.close()


@pytest.mark.slow
def test_equal_and_different_expressions(comparer: SymbolicComparer):
    assert comparer.compare("\\sqrt{12}", "2\\sqrt{3}", AMPLE_S) is Comparison.EQUAL
    assert comparer.compare("\\sqrt{12}", "3\\sqrt{2}", AMPLE_S) is Comparison.DIFFERENT


@pytest.mark.slow
@pytest.mark.parametrize("bomb", ["9**9**9**9", "99999999!"])
def test_a_bomb_costs_the_worker_its_life_and_the_next_comparison_works(
    comparer: SymbolicComparer, bomb: str
):
    assert comparer.compare("x+1", "1+x", AMPLE_S) is Comparison.EQUAL  # the worker is up
    bombed = comparer._worker
    assert bombed is not None
    assert comparer.compare(bomb, "7.5", 0.5) is Comparison.TIMED_OUT
    assert not bombed.alive
    if sys.platform != "win32":
        # Ended by this process at the limit, not later by the system for its use of the processor.
        assert bombed._process.returncode == -signal.SIGKILL
    assert comparer.compare("x+1", "1+x", AMPLE_S) is Comparison.EQUAL
    assert comparer._worker is not bombed


@pytest.mark.slow
@pytest.mark.parametrize("bomb", ["99999999!", "10^{10^{10}}"])
def test_a_bomb_for_math_verify_ends_the_same_way(comparer: SymbolicComparer, bomb: str):
    assert comparer.compare(bomb, "\\sqrt{2}", 0.5, Question.VALUE) is Comparison.TIMED_OUT
    assert comparer.compare("1+x", "x+1", AMPLE_S, Question.VALUE) is Comparison.EQUAL


@pytest.mark.slow
def test_loading_math_verify_is_not_counted(comparer: SymbolicComparer):
    comparer.close()
    comparer.prepare(Question.VALUE)
    worker = comparer._worker
    assert comparer.compare("√2", "\\sqrt{2}", AMPLE_S, Question.VALUE) is Comparison.EQUAL
    assert comparer.compare("√2", "\\sqrt{2}", AMPLE_S, Question.COURSE) is Comparison.DIFFERENT
    assert comparer._worker is worker


@pytest.mark.parametrize(
    "hostile",
    ["{" * 10_000, "\\frac{" * 10_000, "9" * 1_000_000, "7\0", "\ud800", "\\begin{", "'" * 500],
    ids=lambda text: ascii(text[:8]),
)
def test_hostile_text_is_different_not_an_error(comparer: SymbolicComparer, hostile: str):
    assert comparer.compare(hostile, "7.5", AMPLE_S) is Comparison.DIFFERENT


def test_threads_share_one_worker(comparer: SymbolicComparer):
    outcomes: list[Comparison] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(comparer.compare("x+1", "1+x", AMPLE_S)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [Comparison.EQUAL] * 4


@pytest.mark.slow
def test_a_worker_that_died_is_replaced(comparer: SymbolicComparer):
    comparer.compare("x+1", "1+x", AMPLE_S)
    assert comparer._worker is not None
    comparer._worker.kill()
    assert comparer.compare("x+1", "1+x", AMPLE_S) is Comparison.EQUAL


def test_text_is_never_run_as_code(tmp_path: Path, comparer: SymbolicComparer):
    target = tmp_path / "written"
    attempt = f"__import__('os').system('touch {target}')"
    assert comparer.compare(attempt, "7.5", AMPLE_S) is Comparison.DIFFERENT
    assert not target.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="process ids are asked the POSIX way")
def test_worker_ends_with_its_parent(tmp_path: Path):
    script = (
        "from core.responses.symbolic import _shared, compare_symbolically\n"
        "assert compare_symbolically('x+1', '1+x', 60) == 'equal'\n"
        "print(_shared._worker._process.pid)\n"
    )
    (tmp_path / "sympy.py").write_text("raise SystemExit('the folder of the user was imported')")
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert _gone(int(done.stdout))


@pytest.mark.skipif(sys.platform == "win32", reason="process ids are asked the POSIX way")
def test_worker_ends_when_its_parent_is_killed():
    script = (
        "import os, signal, sys\n"
        "from core.responses.symbolic import SymbolicWorker\n"
        "print(SymbolicWorker()._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert _gone(int(killed.stdout))


@pytest.mark.slow
def test_an_interrupted_comparison_leaves_no_reply_behind(
    comparer: SymbolicComparer, monkeypatch: pytest.MonkeyPatch
):
    comparer.compare("x+1", "1+x", AMPLE_S)
    with monkeypatch.context() as patched:
        patched.setattr(SymbolicWorker, "_receive", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            comparer.compare("x+1", "1+x", AMPLE_S)
    assert comparer.compare("x+1", "x+2", AMPLE_S) is Comparison.DIFFERENT


def test_killing_twice_is_harmless():
    worker = SymbolicWorker()
    worker.kill()
    worker.kill()
    assert not worker.alive


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _gone(pid: int) -> bool:
    for _ in range(1200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
