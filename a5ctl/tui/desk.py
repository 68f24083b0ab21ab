"""Where the screens get what they show: read in threads, so that no key ever waits for a disk."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from core.registry.store import Registry
from core.workspace import Workspace

_READERS = 3

T = TypeVar("T")


class Desk:
    """A workspace and its registry, for screens.

    Args:
        workspace: Where the run folders are.
        registry: Where the runs are.
        registry_option: What `--registry` said, for the commands that are started from here.
    """

    def __init__(
        self, workspace: Workspace, registry: Registry, registry_option: str | None = None
    ) -> None:
        self.workspace = workspace
        self.registry = registry
        self.registry_option = registry_option
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="a5ctl-ui-read")
        # what watches must stay on one connection, and must not wait behind a long question
        self._watchers = ThreadPoolExecutor(1, thread_name_prefix="a5ctl-ui-watch")

    async def read(self, work: Callable[[], T]) -> T:
        """Do something that may take a while."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def watch(self, work: Callable[[], T]) -> T:
        """The same, always in one thread that does nothing else."""
        return await asyncio.get_running_loop().run_in_executor(self._watchers, work)

    async def pieces(self, work: Iterator[T]) -> AsyncIterator[T]:
        """Piece by piece of something long; who stops asking stops the work."""
        while True:
            piece = await self.read(lambda: next(work, None))
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        """Let go of threads and connections; what is being read is waited for."""
        self._readers.shutdown(cancel_futures=True)
        self._watchers.shutdown(cancel_futures=True)
        self.registry.close()
