"""Bytes in larger units, and amounts of them in words."""

MIB = 2**20
GIB = 2**30


def mib(count: float) -> str:
    """A number of bytes in words: `1,536 MiB`."""
    return f"{count / MIB:,.0f} MiB"


def gib(count: float) -> str:
    """A number of bytes in words: `1.5 GiB`."""
    return f"{count / GIB:,.1f} GiB"
