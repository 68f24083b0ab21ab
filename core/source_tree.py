"""The source tree that code was imported from: its commit, and whatever differs from it."""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.secrets import mask_diff, mask_text

_GIT_TIMEOUT_S = 1.0
_DIFF_LIMIT = 200_000
_ROOM = 2_000
_UNTRACKED_LIMIT = 200
_UNTRACKED_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class GitState:
    """The source tree.

    Attributes:
        commit: Full hash of HEAD.
        dirty: Tracked files differ from it.
        diff: That difference, cut at 200,000 characters.
        diff_cut: The difference was longer.
        diff_hash: SHA-256 of `diff`, or of the whole difference where that is longer; None where
            there is none.
        untracked: Python files beside the tracked ones that could be imported, each with the
            SHA-256 of its content; their content is not recorded.
    """

    commit: str
    dirty: bool
    diff: str
    diff_cut: bool
    diff_hash: str | None = None
    untracked: Mapping[str, str] = field(default_factory=dict)


def git_state(folder: Path) -> GitState | None:
    """Commit and uncommitted changes of the repository that tracks this file in `folder`."""
    # an installed copy inside somebody else's repository is not that repository's code
    if _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv") or ""
    cut = len(diff) > _DIFF_LIMIT
    # masked with some room behind the cut, so that no secret is cut where its rule would end
    told = mask_diff(diff[: _DIFF_LIMIT + _ROOM])[:_DIFF_LIMIT]
    return GitState(
        commit=commit.strip(),
        dirty=bool(diff),
        diff=told,
        diff_cut=cut,
        diff_hash=_hash(diff if cut else told) if diff else None,
        untracked=_untracked(folder.parent),
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _untracked(root: Path) -> dict[str, str]:
    """Python files of the packages that git does not know: code that a commit does not name."""
    packages: list[str] = []
    with contextlib.suppress(OSError):
        packages = [path.name for path in root.iterdir() if (path / "__init__.py").is_file()]
    if not packages:  # git would list everything
        return {}
    listed = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *packages) or ""
    found: dict[str, str] = {}
    for name in sorted(name for name in listed.split("\0") if name.endswith(".py")):
        if name.startswith("tests/") or len(found) == _UNTRACKED_LIMIT:
            continue
        with contextlib.suppress(OSError):
            content = (root / name).read_bytes()[:_UNTRACKED_BYTES]
            found[mask_text(name)] = hashlib.sha256(content).hexdigest()
    return found


def _git(folder: Path, *arguments: str) -> str | None:
    # optional locks would make a plain look at the tree write to it
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            env=environment,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
