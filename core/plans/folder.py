"""What a workspace keeps of a plan beside its runs: a lock and a log for each cell."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from core.registry.lock import FileLock
from core.workspace import Workspace

PLANS = "plans"
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9]+")
_SLUG_CHARS = 40


@dataclass(frozen=True, slots=True)
class PlanFolder:
    """The folder of one plan.

    Attributes:
        path: `plans/<name>-<hash of the name>` in the workspace.
    """

    path: Path

    def lock(self, cell_id: str) -> FileLock:
        """Held by the one process that carries the cell out; does not wait for another.

        Raises:
            OSError: the folder cannot be made.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / f"{cell_id}.lock", timeout=0)

    def log(self, cell_id: str) -> Path:
        """What the process of a cell printed, over all its attempts."""
        return self.path / f"{cell_id}.log"

    def devices(self, cell_id: str) -> Path:
        """The GPUs that a cell was given on this machine."""
        return self.path / f"{cell_id}.gpus"


def plan_folder(workspace: Workspace, name: str) -> PlanFolder:
    """The folder of the plan with this name; it need not exist yet."""
    slug = _NOT_PLAIN.sub("-", name).strip("-").lower()[:_SLUG_CHARS]
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return PlanFolder(workspace.root / PLANS / f"{slug or 'plan'}-{digest}")
