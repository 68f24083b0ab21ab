"""Does a run killed at random moments, over and over, end as one that nobody touched?

    python benchmarks/kills.py --kills 200

A run is killed (SIGKILL), resumed, killed again, a few times in a row, and then left to finish; it
must have the metrics, the responses and the bytes of the weights of an undisturbed one. Half of the
kills come at any moment, the other half while something chosen is under way: the journal or the
database being written, a checkpoint, an evaluation, the merge at the start, a migration.

After every kill the database and its log are copied as they lie there, and the copy is opened: it
must be sound, `a5ctl registry check` must find nothing worse than a journal that is ahead, and
every row must be there that a reader saw committed just before the kill. Every row seen so must
still be there when the run has finished.

The processes are forked from one that has its imports behind it, so that most of them die at work;
every tenth is a fresh one.
"""

import argparse
import collections
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.committed import Moment, copied, damage, missing  # noqa: E402
from benchmarks.kill_phases import Phase  # noqa: E402
from benchmarks.kill_workspace import Child, Workspace  # noqa: E402
from benchmarks.timing import write  # noqa: E402

_FRESH_EVERY = 10
_AIMS = (*(None,) * 6, *(phase for phase in Phase if phase is not Phase.TRAINING))


class Killer:
    """Chooses the moments, and looks at what each kill left.

    Args:
        workspace: Where the runs are.
        seed: Of the choices.
        length: Seconds of an undisturbed run.
        usual: How often each phase begins in it, and the seconds that it takes.
    """

    def __init__(
        self,
        workspace: Workspace,
        seed: int,
        length: float,
        usual: dict[Phase, tuple[int, float]],
    ) -> None:
        self.places: collections.Counter[str] = collections.Counter()
        self.aimed: collections.Counter[str] = collections.Counter()
        self.kills = self.rows = self.ahead = 0
        self._workspace = workspace
        self._draw = random.Random(seed)
        self._length = length
        self._usual = usual
        self._starts = 0
        self._seen: list[Any] = []

    def kill_once(self, name: str) -> None:
        """Start or resume a run and kill it, unless it gets through first.

        Raises:
            SystemExit: something was lost or spoiled.
        """
        workspace, aim = self._workspace, self._draw.choice(_AIMS)
        known = workspace.status(name) is not None
        if aim is Phase.MIGRATION and workspace.status("untouched") is not None:
            workspace.make_older()
        if aim is Phase.MERGE and not known:
            aim = None
        self._starts += 1
        child = workspace.begin(name, fresh=self._starts % _FRESH_EVERY == 0)
        self._await(child, aim)
        moment = Moment(workspace.database)
        if not child.kill():
            workspace.finish(name, child)
            moment.rows()
            return
        self.kills += 1
        self._count(aim)
        self._look(moment.rows())

    def compare_seen(self) -> None:
        """Make sure that nothing which was ever committed is gone.

        Raises:
            SystemExit: something is.
        """
        for seen in self._seen:
            if gone := missing(seen, self._workspace.database):
                raise SystemExit(f"committed rows were lost later: {gone}")
        self._seen.clear()

    def _await(self, child: Child, aim: Phase | None) -> None:
        """Return at the moment to kill."""
        if aim is None:
            time.sleep(self._draw.uniform(0, self._length))
            return
        phases = self._workspace.phases
        often, seconds = self._usual[aim]
        wanted = self._draw.randint(1, max(1, often // 2))
        while phases.begun(aim) < wanted and not child.ended():
            time.sleep(0.0002)
        time.sleep(self._draw.uniform(0, seconds))

    def _count(self, aim: Phase | None) -> None:
        active = self._workspace.phases.active()
        self.places.update([phase.value for phase in active] or ["starting or ending"])
        self.aimed[aim.value if aim else "any moment"] += 1
        where = ", ".join(sorted(phase.value for phase in active)) or "starting or ending"
        print(f"{self.kills:3} aimed at {aim or 'any moment'}, hit {where}", flush=True)

    def _look(self, before: Any) -> None:
        """What this kill left, read from a copy, so that the next process finds it untouched."""
        workspace = self._workspace
        if not workspace.database.exists():
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = copied(workspace.database, Path(folder))
            if found := damage(copy):
                raise SystemExit(f"the database is damaged: {found}")
            if gone := missing(before, copy):
                raise SystemExit(f"committed rows are gone: {gone}")
            if before[0] is not None and (found := workspace.problems(copy, strict=False)):
                raise SystemExit(f"the check finds: {found}")
        self.rows += sum(len(rows) for _, rows in before[1].values())
        self._seen.append(before)


def undisturbed(
    workspace: Workspace,
) -> tuple[float, dict[Phase, tuple[int, float]], dict[str, Any]]:
    """Run once to its end, after a first one that warms up; seconds, phases and outcome."""
    workspace.begin("warm-up").finish()
    workspace.make_older()
    started = time.perf_counter()
    workspace.begin("untouched").finish()
    length = time.perf_counter() - started
    phases = workspace.phases
    usual = {phase: (phases.begun(phase), phases.mean_seconds(phase)) for phase in Phase}
    # a merge has something to do only behind a kill
    usual[Phase.MERGE] = (1, max(usual[Phase.MERGE][1], 0.005))
    return length, usual, workspace.outcome("untouched")


def main() -> None:
    """Kill, look, resume, compare, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--in-a-row", type=int, default=4, help="kills before a run may finish")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder), given.steps)
        length, usual, expected = undisturbed(workspace)
        for phase, (often, seconds) in usual.items():
            print(f"{phase}: {often} times, {seconds:.4f} s each", flush=True)
        killer, runs = Killer(workspace, given.seed, length, usual), 0
        while killer.kills < given.kills:
            runs += 1
            name = f"killed-{runs}"
            for _ in range(given.in_a_row):
                if workspace.status(name) != "finished":
                    killer.kill_once(name)
            if workspace.status(name) != "finished":
                workspace.finish(name, workspace.begin(name))
            killer.compare_seen()
            if problems := workspace.problems(workspace.database, strict=True):
                raise SystemExit(f"{name} has ended, and the check finds: {problems}")
            found = workspace.outcome(name)
            if wrong := [part for part, value in expected.items() if found[part] != value]:
                raise SystemExit(f"{name} differs from the untouched run in {', '.join(wrong)}")
            print(f"    {name} equals the untouched run", flush=True)
    result = {
        "kills": killer.kills,
        "runs": runs,
        "damaged": 0,
        "lost_rows": 0,
        "rows_compared": killer.rows,
        "differing": 0,
        "places": dict(killer.places.most_common()),
        "aimed_at": dict(killer.aimed.most_common()),
    }
    write("kills", {"steps": given.steps, "seed": given.seed, **result})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
