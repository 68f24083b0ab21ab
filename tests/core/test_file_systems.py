"""Network file systems are known by the system's table of mounts, and named once with a fix."""

from pathlib import Path

import pytest

from core.file_systems import file_system, is_network, network_hint


def table(folder: Path, *mounts: tuple[Path | str, str]) -> Path:
    """A table of mounts as Linux writes it: spaces are escaped, optional fields vary."""
    lines = [
        f"{30 + n} 1 0:{n} / {str(place).replace(' ', chr(92) + '040')} rw,relatime"
        f"{' shared:1' * (n % 3)} - {kind} source rw"
        for n, (place, kind) in enumerate(mounts)
    ]
    path = folder / "mountinfo"
    path.write_text("\n".join([*lines, "a line of another shape"]) + "\n")
    return path


def test_the_innermost_mount_counts(tmp_path: Path) -> None:
    inner = tmp_path / "my data"
    inner.mkdir()
    mounts = table(tmp_path, ("/", "ext4"), (inner, "nfs4"), (tmp_path, "xfs"))
    assert file_system(tmp_path / "registry.db", mounts) == "xfs"
    assert file_system(inner / "not" / "yet" / "there.db", mounts) == "nfs4"
    assert file_system(Path("/"), mounts) == "ext4"


def test_of_two_mounts_on_one_place_the_later_one_counts(tmp_path: Path) -> None:
    mounts = table(tmp_path, ("/", "ext4"), (tmp_path, "autofs"), (tmp_path, "nfs"))
    assert file_system(tmp_path, mounts) == "nfs"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far")
    mounts = table(tmp_path, ("/", "ext4"), (tmp_path / "far", "lustre"))
    assert file_system(tmp_path / "link" / "registry.db", mounts) == "lustre"


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "9p", "fuse.sshfs"]
)
def test_several_machines_may_be_on_it(kind: str, tmp_path: Path) -> None:
    assert is_network(kind)
    mounts = table(tmp_path, ("/", "ext4"), (tmp_path, kind))
    hint = network_hint(tmp_path / "registry.db", mounts)
    assert hint is not None
    assert f"network file system ({kind})" in hint
    assert "A5CTL_REGISTRY" in hint


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs", "fuseblk"])
def test_nothing_is_said_of_a_local_disk(kind: str, tmp_path: Path) -> None:
    assert network_hint(tmp_path / "registry.db", table(tmp_path, ("/", kind))) is None


def test_nothing_is_said_of_a_server_or_where_nothing_is_known(tmp_path: Path) -> None:
    assert network_hint(None, table(tmp_path, ("/", "nfs"))) is None
    assert file_system(tmp_path, tmp_path / "no table") is None
    assert network_hint(tmp_path / "registry.db", tmp_path / "no table") is None
