"""No word of transformers on the terminal: it repeats what files say, escape codes included."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence its messages, warnings and bars while it reads files; errors are still raised."""
    from transformers.utils import logging as its_own

    verbosity, bar = its_own.get_verbosity(), its_own.is_progress_bar_enabled()
    its_own.set_verbosity(logging.CRITICAL + 1)
    its_own.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        its_own.set_verbosity(verbosity)
        if bar:
            its_own.enable_progress_bar()
