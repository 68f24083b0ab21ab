"""Everything that a GPU decides, measured by one command in under ten minutes.

    python benchmarks/gpu_suite.py
    python benchmarks/gpu_suite.py --part sft-0.5b --part grpo-0.5b --minutes 5
    python benchmarks/gpu_suite.py --dry-run      # on a CPU; its figures mean nothing
    python benchmarks/gpu_suite.py --list

Needs no network and no installed a5ctl: a checkout, torch and transformers, and for the parts that
train by the program its packages (`gpu_bundle.py` makes a folder of them to carry). Models have
random weights of Qwen2.5's shapes, made on the spot. What is not installed is named in the table.

Every part is a process of its own with a limit of its own, and the whole ends within --minutes.
Figures are kept as they come: a part that runs out of time leaves what it had, and Ctrl-C or
SIGTERM ends with the table of what there is. `gpu_parts.py` lists the parts, `gpu_mfu.py` says
what MFU means.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gpu_parts import Given, Part, find, why_not, with_models  # noqa: E402
from benchmarks.gpu_rows import Kind, Row, read_rows, rows_go_to, table  # noqa: E402

OUT = ROOT / "benchmarks" / "results" / "gpu_suite.json"
_GRACE = 5.0  # seconds that a stopped part has to end by itself
_CLOSING = 10.0  # seconds of the whole that are kept for stopping, deleting and printing
_CLOSING_OF_PART = 3.0  # of a part's limit, likewise
_DRY_LEAST = 3.0  # seconds without which a part of a dry run does not begin
DRY = "dry run: the figures mean nothing"


class Stopped(Exception):  # noqa: N818
    """Somebody asked the suite to stop."""


class Suite:
    """Runs parts one after another, and keeps what they found.

    Args:
        parts: In this order.
        minutes: Within which everything ends.
        out: The file of figures, written again after each part.
        dry: Tiny sizes; the figures mean nothing.
        device: `cuda` or `cpu`.
        work: Folder for what the parts make.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        minutes: float,
        out: Path,
        *,
        dry: bool,
        device: str,
        work: Path,
    ) -> None:
        self.parts, self.out, self.dry, self.device, self.work = parts, out, dry, device, work
        self.ends = time.monotonic() + 60 * minutes - _CLOSING
        self.found: dict[str, dict[str, Any]] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """All parts; one that fails or is stopped leaves the others alone."""
        for number, part in enumerate(self.parts):
            # a dry run has short parts, and nothing that later ones must be kept time for
            later = 0.0 if self.dry else sum(one.least for one in self.parts[number + 1 :])
            self.found[part.name] = found = {"title": part.title, "state": "running", "rows": []}
            found |= self._one(part, later)
            self._keep()
            seconds = f" in {found['seconds']:.0f} s" if "seconds" in found else ""
            print(f"{part.name}: {found['state']}{seconds}", flush=True)

    def stop(self) -> None:
        """End the part at work; what has not begun is said to be so."""
        if self._process is not None:
            _end(self._process)
        for part in self.parts:
            found = self.found.setdefault(part.name, {"title": part.title, "rows": []})
            if found.get("state", "running") == "running":
                state = "stopped" if "state" in found else "not started"
                found |= {"state": state, "rows": read_rows(self._rows(part))}
        self._keep()

    def shown(self) -> str:
        """The table, under what it is worth."""
        head = [DRY] if self.dry else []
        width = shutil.get_terminal_size((140, 24)).columns
        return "\n".join([*head, table(self.found, bars=not self.dry, width=width)])

    def command(self, part: Part, given: Mapping[str, Any]) -> list[str]:
        """What runs a part."""
        return [sys.executable, __file__, "--do", part.name, json.dumps(given)]

    def _one(self, part: Part, later: float) -> dict[str, Any]:
        reason = why_not(part.needs)
        if reason is not None:
            return {"state": "skipped", "rows": [Row("this part", Kind.SKIPPED, note=reason)]}
        left = self.ends - time.monotonic()
        least = _DRY_LEAST if self.dry else part.least
        if left < least:
            note = f"{max(0.0, left):.0f} s are left, and it takes at least {least:.0f}"
            row = Row("this part", Kind.SKIPPED, note=f"no time: {note}; give --part {part.name}")
            return {"state": "not started", "rows": [row]}
        return self._in_a_process(part, min(part.limit, left, max(left - later, least)))

    def _in_a_process(self, part: Part, limit: float) -> dict[str, Any]:
        rows, log = self._rows(part), self.work / f"{part.name}.log"
        # the clock of the machine since its start, which all processes share
        until = time.monotonic() + limit - _CLOSING_OF_PART
        given = {"dry": self.dry, "device": self.device, "work": str(self.work), "until": until}
        started = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self.command(part, given),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **rows_go_to(rows)},
                start_new_session=True,  # so that what it starts ends with it
            )
        try:
            code = self._process.wait(timeout=limit)
            state = "done" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            state = "out of time"
        _end(self._process)
        self._process = None
        found = read_rows(rows)
        if state == "failed":
            found.append(Row("this part", Kind.FAILED, note=_last_words(log)))
        elif state == "out of time":
            note = f"stopped after {limit:.0f} s; what it had is above"
            found.append(Row("this part", Kind.FAILED, note=note))
        return {"state": state, "seconds": time.monotonic() - started, "rows": found}

    def _rows(self, part: Part) -> Path:
        return self.work / f"{part.name}.jsonl"

    def _keep(self) -> None:
        """Write the figures so far, whole or not at all."""
        parts = {
            name: {**found, "rows": [asdict(row) for row in found["rows"]]}
            for name, found in self.found.items()
        }
        text = json.dumps({"dry_run": self.dry, "device": self.device, "parts": parts}, indent=2)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        beside = self.out.with_suffix(".partial")
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(self.out)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a part and everything that it has started."""
    for sign, wait in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:  # nobody of it is left
            break
        try:
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", default=[], help="only this part; repeatable")
    parser.add_argument("--list", action="store_true", help="list the parts and what they need")
    parser.add_argument("--minutes", type=float, default=9.5, help="within which all ends")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes, on a CPU if need be")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="cpu only with --dry-run")
    parser.add_argument("--out", type=Path, help="the file of figures")
    parser.add_argument("--work", type=Path, help="where models and runs go, and stay")
    parser.add_argument("--do", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def listed() -> str:
    """The parts, what they may take, and what is missing for them here."""
    lines = []
    for part in find([]):
        lack = why_not(part.needs)
        lines.append(f"{part.name:12} at most {part.limit:3.0f} s  {part.title}")
        lines += [f"{'':29}{lack}"] if lack else []
    return "\n".join(lines)


def do(name: str, given: Mapping[str, Any]) -> None:
    """Be one part."""
    (part,) = find([name])
    part.run(Given(given["dry"], given["device"], Path(given["work"]), given["until"]))


def choose_device(given: argparse.Namespace) -> str:
    """CUDA, or in a dry run what there is.

    Raises:
        SystemExit: figures are asked for and there is no GPU.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    wanted = given.device or ("cuda" if has_gpu or not given.dry_run else "cpu")
    if wanted == "cuda" and not has_gpu:
        raise SystemExit("torch sees no GPU here; give --dry-run to try the suite on a CPU")
    if wanted == "cpu" and not given.dry_run:
        raise SystemExit("figures of a CPU mean nothing here; give --dry-run with --device cpu")
    return str(wanted)


def _raise(number: int, _: object) -> None:
    raise Stopped(signal.Signals(number).name)


def main() -> int:
    """Run the parts and print the table."""
    given = parse()
    if given.do:
        do(given.do[0], json.loads(given.do[1]))
        return 0
    if given.list:
        print(listed())
        return 0
    parts, device = with_models(find(given.part)), choose_device(given)
    out = given.out or (OUT.with_name("gpu_suite_dry_run.json") if given.dry_run else OUT)
    signal.signal(signal.SIGTERM, _raise)
    with tempfile.TemporaryDirectory(prefix="gpu-suite-") as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        suite = Suite(parts, given.minutes, out, dry=given.dry_run, device=device, work=work)
        code = 0
        try:
            suite.run()
        except (KeyboardInterrupt, Stopped) as stop:
            code = 130 if isinstance(stop, KeyboardInterrupt) else 143
            suite.stop()
        print("\n" + suite.shown())
        print(f"\nwritten to {out}")
    return code


if __name__ == "__main__":
    sys.exit(main())
