"""lm-evaluation-harness: `results_*.json`, and the `samples_*.jsonl` of `--log_samples`.

One pair of files with the same time stamp is one run; every task is an evaluation of it. The
harness's own figures are kept as metrics under `lm_eval/`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.data.dumps import DumpedResponse
from core.errors import UserError
from core.interchange.course_folder import decoded_lines
from core.interchange.decoding import load_document
from core.interchange.foreign import ForeignEvaluation, ForeignRun, Source, fingerprint_of
from core.interchange.graded_rows import RowTally, read_rows
from core.interchange.guesses import guess_seed
from core.interchange.limits import number_of, short_name, tidy_settings, time_of
from core.registry.records import RunStatus

_SAMPLES = re.compile(r"samples_(?P<task>.+?)(?:_(?P<stamp>\d{4}-\d\d-\d\dT[\d.-]+))?\.jsonl")
_RESULTS = re.compile(r"results(?:_(?P<stamp>\d{4}-\d\d-\d\dT[\d.-]+))?\.json")


def sessions(folder: Path) -> dict[str, list[Path]]:
    """Files of each session by its time stamp; results come first."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        match = _RESULTS.fullmatch(path.name) or _SAMPLES.fullmatch(path.name)
        if match and path.is_file() and not path.is_symlink():
            found.setdefault(match["stamp"] or "", []).append(path)
    logged = {k: v for k, v in found.items() if any(p.suffix == ".jsonl" for p in v)}
    return {stamp: sorted(files, key=lambda p: p.suffix) for stamp, files in logged.items()}


def read_lm_eval(path: Path, files: list[Path]) -> ForeignRun:
    """Read one session.

    Args:
        path: What was asked for.
        files: Its results, if there are any, and its samples.

    Raises:
        UserError: a file cannot be read.
    """
    samples = [file for file in files if _SAMPLES.fullmatch(file.name)]
    results = next((file for file in files if _RESULTS.fullmatch(file.name)), None)
    identity = f"{samples[0].name}:{fingerprint_of(samples[:1])}"
    run = ForeignRun(Source.LM_EVAL, identity, path, fingerprint_of(files))
    when = min(file.stat().st_mtime for file in files)
    run.created = run.started = run.ended = when
    run.status, run.exit_reason = RunStatus.FINISHED, "completed"
    run.name = short_name(samples[0].parent.name) or None
    if results is not None:
        try:
            _take_results(run, load_document(results))
        except UserError as error:
            run.left_out.append(str(error))
    for file in samples:
        _take_samples(run, file)
    return run


def _take_results(run: ForeignRun, document: Any) -> None:
    if not isinstance(document, Mapping):
        run.left_out.append("the results are no JSON object")
        return
    run.created = run.started = run.ended = time_of(document.get("date")) or run.created
    config = document.get("config")
    config = dict(config) if isinstance(config, Mapping) else {}
    name = document.get("model_name") or _pretrained(config.get("model_args"))
    run.model = short_name(name or config.get("model") or "") or "unknown"
    kept = ("model", "model_args", "num_fewshot", "gen_kwargs", "limit", "batch_size", "seed")
    given = {key: config[key] for key in (*kept, "random_seed") if config.get(key) is not None}
    run.settings = tidy_settings(given)[0]
    run.seed = guess_seed(config)
    facts = ("lm_eval_version", "transformers_version", "git_hash", "n-shot", "versions")
    run.origin = tidy_settings({key: document[key] for key in facts if key in document})[0]
    tasks = document.get("results")
    for task, figures in tasks.items() if isinstance(tasks, Mapping) else ():
        for key, value in figures.items() if isinstance(figures, Mapping) else ():
            number = number_of(value)
            if number is not None and not isinstance(value, bool):
                run.curves.add(f"lm_eval/{task}/{key}", 0, run.created or 0.0, number)


def _pretrained(arguments: Any) -> str | None:
    if isinstance(arguments, Mapping):
        return str(arguments.get("pretrained") or "") or None
    if not isinstance(arguments, str):
        return None
    parts = dict(part.partition("=")[::2] for part in arguments.split(","))
    return parts.get("pretrained")


def _take_samples(run: ForeignRun, file: Path) -> None:
    match = _SAMPLES.fullmatch(file.name)
    assert match is not None
    task = short_name(match["task"])
    tally = RowTally()
    title = f"task {task} ({file.name})"
    responses = _responses(run, file, title, tally)
    when = run.created or file.stat().st_mtime
    run.evaluations.append(ForeignEvaluation(title, 0, task, when, responses, tally))
    run.data = task if run.data == "unknown" else f"{run.data}, {task}"[:250]


def _responses(
    run: ForeignRun, file: Path, title: str, tally: RowTally
) -> Iterator[DumpedResponse]:
    try:
        with file.open("rb") as source:
            yield from read_rows(_generated(decoded_lines(source, file.name)), title, tally)
    except (UserError, OSError) as error:
        run.left_out.append(f"{title}: {error}")


def _generated(rows: Iterator[Any]) -> Iterator[Any]:
    """Rows with their texts; each document once, although every filter of a task repeats it."""
    seen: set[str] = set()
    for row in rows:
        if not isinstance(row, Mapping):
            yield row
            continue
        document = f"{row.get('doc_id')}"
        if row.get("doc_id") is not None and document in seen:
            continue
        seen.add(document)
        if _by_likelihood(row.get("resps")):
            raise UserError(
                "the task compares likelihoods of options, so there is no text to grade"
            )
        yield row


def _by_likelihood(responses: Any) -> bool:
    """Pairs of a log-probability and whether it is the greediest, in place of texts."""
    first = responses
    while isinstance(first, list) and first and isinstance(first[0], list):
        first = first[0]
    if not isinstance(first, list) or len(first) != 2:
        return False
    number, greedy = first
    return str(greedy) in ("True", "False") and _is_number(number)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
