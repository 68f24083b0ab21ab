"""The log in a run folder: what the program said while the run went on, without secrets."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.secrets import mask_text
from core.workspace import LOG


class _Masking(logging.Formatter):
    """What libraries log may quote a URL or a key."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without secrets."""
        return mask_text(super().format(record))


class _Log(logging.FileHandler):
    """A log that cannot be written is no reason to stop a run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's own name)
        """Do without the record."""

    def close(self) -> None:
        """Close, whatever is left unwritten."""
        with suppress(OSError):
            super().close()


@contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """Let what is logged meanwhile go to `log.txt` in a run folder."""
    handler = _Log(folder / LOG, encoding="utf-8", delay=True)
    handler.setFormatter(_Masking("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
