"""How room on a disk, and a number of things, are written."""


def size(count: float) -> str:
    """Bytes as `512 B`, `3.4 MB` or `120 GB`, in powers of a thousand."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            number = count / limit
            return f"{number:.0f} {unit}" if number >= 100 else f"{number:.1f} {unit}"
    return f"{count:.0f} B"


def counted(number: int, thing: str) -> str:
    """`1 run`, `2 runs`, `1,000 runs`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
