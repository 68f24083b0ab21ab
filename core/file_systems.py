"""Which file system a path is on, and whether SQLite may be trusted there.

SQLite's write-ahead log needs memory that all who use a database share, and locks that hold. On
one machine's disk both do; on a file system that comes over a network the first never does between
machines, and the second often not.
"""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "drvfs", "gfs2", "glusterfs", "gpfs",
        "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs",
        "vboxsf", "wekafs",
        "fuse.beegfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.davfs", "fuse.gcsfuse",
        "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.moosefs", "fuse.mount-s3",
        "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "fuse.vmhgfs-fuse",
    }
)  # fmt: skip
_ESCAPE = re.compile(r"\\([0-7]{3})")


def file_system(path: Path, mounts: Path | None = None) -> str | None:
    """Kind of the file system of a path, or of the nearest folder above that exists.

    Args:
        path: A file or folder.
        mounts: A table of mounts, as Linux shows it to a process; this process's own else.

    Returns:
        None where it cannot be told: there is no such table on other systems.
    """
    place = _existing(path).resolve()
    try:
        lines = (mounts or MOUNTS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    best: tuple[int, str] | None = None
    for line in lines:
        mount, kind = _mount(line)
        # of two mounts on one point the later one is seen
        if place.is_relative_to(mount) and (best is None or len(mount) >= best[0]):
            best = (len(mount), kind)
    return None if best is None else best[1]


def is_network(kind: str | None) -> bool:
    """Whether a file system of this kind may be used by several machines at once."""
    return kind in _NETWORK


def network_hint(database: Path | None, mounts: Path | None = None) -> str | None:
    """What to tell a person whose SQLite registry is on a network file system.

    Args:
        database: The registry's file; None where it is on a server.
        mounts: As for `file_system`.

    Returns:
        One sentence with the fix; None where there is nothing to tell.
    """
    if database is None:
        return None
    kind = file_system(database, mounts)
    if not is_network(kind):
        return None
    return (
        f"registry {database} is on a network file system ({kind}), where SQLite can stall or be "
        "damaged when several machines use it; keep it on a local disk (--registry or "
        "A5CTL_REGISTRY, then a5ctl import the run folders), or on a PostgreSQL server"
    )


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def _mount(line: str) -> tuple[str, str]:
    """Mount point and kind in one line of the table; no path is below an empty mount point."""
    place, separator, rest = line.partition(" - ")
    fields = place.split(" ")
    if not separator or len(fields) < 5:
        return "\0", ""
    return _ESCAPE.sub(lambda code: chr(int(code[1], 8)), fields[4]), rest.split(" ")[0]
