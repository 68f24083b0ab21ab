"""Folders of evaluation logs by step, as in courses: `sft_eval/{step}/test_log.json`.

A log is a JSON list of graded responses, an object that holds such a list, or JSON lines. Which
step a folder stands for is the last number in its name (`120`, `step_120`, `checkpoint-120`).
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from core.data.dumps import DumpedResponse
from core.errors import UserError
from core.interchange.decoding import decode, load_document
from core.interchange.foreign import ForeignEvaluation, ForeignRun, Source, fingerprint_of
from core.interchange.graded_rows import RowTally, read_rows
from core.interchange.limits import LARGEST_STEP, LONGEST_LINE, number_of, short_name
from core.registry.records import RunStatus

_LOG_NAMES = ("test_log", "eval_log", "val_log", "log", "results", "responses", "generations")
_ENDINGS = (".json", ".jsonl")
_NUMBER = re.compile(r"[0-9]{1,10}")
_SPLIT = re.compile(r"(?:^|_)(test|val|valid|validation|train|dev|eval)(?:_|$)")
_MOST_STEPS = 100_000


def log_file(folder: Path) -> Path | None:
    """The log right in a folder; the most telling name wins."""
    for name in _LOG_NAMES:
        for ending in _ENDINGS:
            path = folder / f"{name}{ending}"
            if path.is_file() and not path.is_symlink():
                return path
    return None


def step_of_folder(folder: Path) -> int | None:
    """The last number in a folder's name."""
    found = _NUMBER.findall(folder.name)
    step = int(found[-1]) if found else None
    return step if step is not None and step <= LARGEST_STEP else None


def step_logs(folder: Path) -> dict[int, Path]:
    """Log files by step of a folder that has a folder for each step."""
    found: dict[int, Path] = {}
    for child in sorted(folder.iterdir())[:_MOST_STEPS]:
        if child.is_dir() and not child.is_symlink():
            step, path = step_of_folder(child), log_file(child)
            if step is not None and path is not None:
                found.setdefault(step, path)
    return dict(sorted(found.items()))


def read_course(path: Path) -> ForeignRun:
    """Read one run.

    Args:
        path: The folder of the steps (`sft_eval`), the folder of one step, or one log.

    Raises:
        UserError: it holds no log.
    """
    logs, top = _logs(path)
    files = list(logs.values())
    run = ForeignRun(Source.COURSE, _identity(logs), path, fingerprint_of(files))
    times = [file.stat().st_mtime for file in files]
    run.started = run.created = min(times)
    run.ended = max(times)
    run.name = short_name(_title(top)) or None
    run.status = RunStatus.FINISHED
    run.exit_reason = "the folder does not say how the run ended"
    for step, file in logs.items():
        _take_log(run, step, file)
    run.left_out += _passed_over(top, logs) if top.is_dir() else []
    return run


def _logs(path: Path) -> tuple[dict[int, Path], Path]:
    if path.is_file():
        return {step_of_folder(path.absolute().parent) or 0: path}, path.absolute().parent
    alone = log_file(path)
    if alone is not None:
        return {step_of_folder(path.absolute()) or 0: alone}, path
    logs = step_logs(path)
    if not logs:
        raise UserError(f"{path} holds no folders by step with a test_log.json each")
    return logs, path


def _identity(logs: Mapping[int, Path]) -> str:
    """The first log's content: steps that come later do not make it another run."""
    step = min(logs)
    return f"{step}:{fingerprint_of([logs[step]])}"


def _title(top: Path) -> str:
    """`sft_eval` alone says little; the folder above it is usually the run."""
    here = top.absolute()
    return f"{here.parent.name}/{here.name}" if here.parent.name else here.name


def _take_log(run: ForeignRun, step: int, file: Path) -> None:
    title = f"step {step} ({file.name})"
    found = _SPLIT.search(file.stem.lower())
    when = file.stat().st_mtime
    tally = RowTally()
    try:
        rows = _rows(file, run, step, when)
    except UserError as error:
        run.left_out.append(f"{title}: {error}")
        return
    responses = _patient(read_rows(rows, title, tally), run, title)
    split = found.group(1) if found else "test"
    run.evaluations.append(ForeignEvaluation(title, step, split, when, responses, tally))


def _patient(
    responses: Iterator[DumpedResponse], run: ForeignRun, title: str
) -> Iterator[DumpedResponse]:
    """What comes before the place where JSON lines cannot be read on."""
    try:
        yield from responses
    except UserError as error:
        run.left_out.append(f"{title}: {error}")


def _rows(file: Path, run: ForeignRun, step: int, when: float) -> Iterator[Any]:
    if file.suffix == ".jsonl":
        return _lines(file)
    document = load_document(file)
    if isinstance(document, list):
        return iter(document)
    if not isinstance(document, Mapping):
        raise UserError(f"{file} is neither a list of responses nor an object that holds one")
    for name, value in document.items():
        number = number_of(value)
        if number is not None:
            run.curves.add(f"source/{name}", step, when, number)
    columns: dict[str, list[Any]] = {k: v for k, v in document.items() if isinstance(v, list)}
    lists = [values for values in columns.values() if values and isinstance(values[0], dict)]
    if lists:
        longest: list[Any] = max(lists, key=len)
        return iter(longest)
    if columns and len({len(v) for v in columns.values()}) == 1:
        return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    raise UserError(f"{file} holds no list of responses")


def _lines(file: Path) -> Iterator[Any]:
    with file.open("rb") as source:
        yield from decoded_lines(source, file.name)


def decoded_lines(source: IO[bytes], name: str) -> Iterator[Any]:
    """Values of JSON lines; blank ones are passed over.

    Raises:
        UserError: names the line that cannot be read.
    """
    lines = iter(lambda: source.readline(LONGEST_LINE), b"")
    for number, line in enumerate(lines, start=1):
        if len(line) == LONGEST_LINE:
            raise UserError(f"{name}:{number} is too long; what follows is left out")
        if not line.strip():
            continue
        try:
            yield decode(line)
        except ValueError as error:
            raise UserError(f"{name}:{number} is not valid JSON; what follows is left out") from (
                error
            )


def _passed_over(top: Path, logs: Mapping[int, Path]) -> list[str]:
    """Names of what lies beside the logs and was not read."""
    used = {file.parent for file in logs.values()}
    if top in used:
        return []
    other = sorted(child.name for child in top.iterdir() if child not in used)
    if not other:
        return []
    more = f" and {len(other) - 5} more" if len(other) > 5 else ""
    return [f"not understood in the folder: {', '.join(map(short_name, other[:5]))}{more}"]
