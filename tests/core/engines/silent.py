"""An engine that needs no library and answers nothing: for what happens around one."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from core.engines.remote import RemoteEngine


class Silent:
    """Keeps what it is given; a generation takes as long as its only prompt says, in seconds."""

    name, version, dtype, max_model_len = "silent", "0", "float32", 64
    weight_path = "nowhere"

    def __init__(self) -> None:
        """Know nothing yet."""
        self.slept = 0

    def generate(
        self,
        prompts: Sequence[Any],
        sampling: Any,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Any]:
        """Wait; then tell the process and how often it has slept."""
        time.sleep(float(prompts[0]))
        return [[os.getpid(), self.slept]]

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Take them, unless one is called wrong."""
        if any(name == "wrong" for name, _ in weights):
            raise ValueError("one of them\n  is wrong")

    def sleep(self) -> None:
        """Count."""
        self.slept += 1

    def close(self) -> None:
        """Do nothing."""


if __name__ == "__main__":
    # a trainer that is stopped while its engine works
    engine = RemoteEngine(Silent, {})
    try:
        ((child, _),) = engine.generate(["0"], None)  # type: ignore[arg-type]
        print(child, flush=True)
        engine.generate(["600"], None)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        engine.close()
