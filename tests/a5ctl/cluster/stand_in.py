"""Stands in for `a5ctl plan cell` where it does not matter what a run learns.

`python stand_in.py FOLDER plan cell FILE CELL --home HOME ...`: what the cell does is the text of
FOLDER/CELL.does, one word for each time it is carried out: `finish`, `fail`, `stop` as at the end
of its time, or `wait` until it is told to.
"""

import signal
import sys
import time
from pathlib import Path


def main() -> None:
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    cell = words[3]
    home = Path(words[words.index("--home") + 1])
    with (folder / f"{cell}.lives").open("a") as lives:
        lives.write(f"{' '.join(words[4:])}\n")
    life = len((folder / f"{cell}.lives").read_text().splitlines())
    does = (folder / f"{cell}.does").read_text().split()[life - 1]
    if does == "fail":
        print("no such thing as a learning rate")
        sys.exit(1)
    if does == "stop":
        sys.exit(143)
    if does == "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        time.sleep(600)
    record(home, Path(words[2]), cell)


def record(home: Path, plan: Path, cell: str) -> None:
    from core.plans.load import load_plan
    from core.registry.records import NewRun
    from core.registry.store import open_registry

    loaded = load_plan(plan)
    config = loaded.find(cell).config
    registry = open_registry(f"sqlite:///{home / 'registry.db'}")
    new = NewRun(
        kind="sft",
        config=config.model_dump(mode="json"),
        config_hash="0" * 16,
        model="m",
        data="d",
        group=loaded.name,
        tags=config.tags,
    )
    registry.set_status(registry.create_run(new).uuid, "finished")


if __name__ == "__main__":
    main()
