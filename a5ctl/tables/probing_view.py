"""Probes on the screen and as plain data."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, interval, percent
from a5ctl.tables.fit import FitColumn, fitted_table
from a5ctl.tables.probing import ProbeReport, cap_reading, closing_readings, gap_sentence
from a5ctl.tables.probing_examples import print_examples
from core.probing.findings import ProbeFindings, Tally
from core.probing.names import ProbeKind
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.records import StoredResponse
from core.responses.breakdown import right_last_words
from core.responses.names import GraderName
from core.statistics import wilson_interval


def print_probes(
    console: Console, report: ProbeReport, responses: Sequence[StoredResponse], examples: int
) -> None:
    """Print what each kind of probe found, what that says, and some responses.

    Args:
        console: Where to.
        report: What was found.
        responses: Every response of the evaluation.
        examples: How many responses to show of each kind.
    """
    console.print(_title(report))
    for note in (*report.notes, *version_notes(report.findings, report.run.id)):
        console.print(plain(note, style="yellow"))
    caps, closing = report.of_kind(ProbeKind.MAX_TOKENS), report.of_kind(ProbeKind.CLOSE)
    largest = {record.kind: record for record in report.records}
    if caps:
        _print_caps(console, report, caps)
    for found in closing:
        _print_closing(console, found)
    for record in largest.values():
        print_examples(console, record, responses, report.grader, examples)
    console.print(Text(""))
    console.print(Text("counted by ", style="dim").append_text(_diagnose(report)), soft_wrap=True)


def probes_json(report: ProbeReport) -> dict[str, Any]:
    """Everything as plain data, with every probed text."""
    evaluation = report.evaluation
    return {
        "run": report.run.id,
        "run_uuid": report.run.uuid,
        "evaluation": evaluation.uuid,
        "step": evaluation.step,
        "split": evaluation.split,
        "n": report.n,
        "grader": report.grader,
        "accuracy": report.findings[0].accuracy,
        "notes": [*report.notes, *version_notes(report.findings, report.run.id)],
        "probes": [
            {**findings_json(found), **_record_json(record, report.grader)}
            for record, found in zip(report.records, report.findings, strict=True)
        ],
    }


def findings_json(found: ProbeFindings) -> dict[str, Any]:
    """The figures of one probe."""
    closed, right = found.closed_alone
    return {
        "kind": found.kind,
        "cap": found.cap,
        "eligible": found.eligible,
        "n": found.all.n,
        "ended": found.all.ended,
        "right": found.all.right,
        "right_by_last_number": found.by_last_number,
        "capped": _tally_json(found.capped),
        "ended_alone": _tally_json(found.alone),
        "diverged": found.diverged,
        "accuracy_if": found.accuracy_if,
        "closed_alone": {"n": closed, "right": right},
        "grader_versions": sorted(found.versions[0]),
        "stored_grader_versions": sorted(found.versions[1]),
    }


def version_notes(findings: Sequence[ProbeFindings], run: str) -> list[str]:
    """One line per probe that was judged by another version of the grader than its evaluation."""
    return [_version_note(found, run) for found in findings if found.mixed]


def _version_note(found: ProbeFindings, run: str) -> str:
    probed, stored = (" and ".join(map(str, sorted(side))) for side in found.versions)
    what = "--close" if found.kind is ProbeKind.CLOSE else f"--max-tokens {found.cap}"
    # whichever is behind is brought up to date
    behind = max(found.versions[0]) > min(found.versions[1])
    mend = f"a5ctl regrade {run}" if behind else f"a5ctl probe {run} {what}"
    return (
        f"the probe {what} was judged by version {probed} of the grader, the evaluation by version "
        f"{stored}; to judge both alike: {mend}"
    )


def _tally_json(tally: Tally) -> dict[str, int]:
    return {"n": tally.n, "ended": tally.ended, "right": tally.right}


def _record_json(record: ProbeRecord, grader: GraderName) -> dict[str, Any]:
    return {
        "engine": record.engine,
        "engine_version": record.engine_version,
        "dtype": record.dtype,
        "seconds": record.seconds,
        "responses": [_response_json(r, grader) for r in record.responses],
    }


def _response_json(response: ProbedResponse, grader: GraderName) -> dict[str, Any]:
    grade = response.grades[grader]
    return {
        "problem": response.problem_id,
        "sample": response.sample,
        "finish": response.finish,
        "tokens": response.tokens,
        "closed": response.closed,
        "same_prefix": response.same_prefix,
        "appended": response.appended,
        "right": grade.right,
        "failure": grade.failure,
        "extracted": grade.extracted,
        "text": response.text,
    }


def _title(report: ProbeReport) -> Text:
    evaluation = report.evaluation
    title = plain(report.run.id, style="bold cyan")
    title.append(f"  step {evaluation.step}", style="bold")
    title.append(f"  n {count(report.n)}  accuracy ", style="not bold")
    title.append(percent(report.findings[0].accuracy), style="bold")
    return title.append(f" under {report.grader}", style="not bold")


def _print_caps(console: Console, report: ProbeReport, caps: Sequence[ProbeFindings]) -> None:
    first = caps[0]
    own = report.evaluation.protocol["max_tokens"]
    _heading(console, f"{count(first.eligible)} capped at {own} tokens, made again", first)
    rows: list[tuple[str, ...]] = [
        (f"{own} (as it was)", "-", "-", percent(first.accuracy)),
        *((str(f.cap), count(f.all.ended), count(f.all.right), _accuracy(f)) for f in caps),
    ]
    console.print(_table(console, ("cap", "now end", "right", "accuracy then"), rows), crop=False)
    console.print(Text(cap_reading(caps[-1]), style="bold yellow"))
    if caps[-1].diverged:
        text = f"{caps[-1].diverged} do not begin with the stored response"
        console.print(Text(text, style="yellow"))


def _print_closing(console: Console, found: ProbeFindings) -> None:
    _heading(console, f"{count(found.eligible)} unclosed, helped to close their answer", found)
    headers = ("these ended", "unclosed", "now closed", "right", "share right")
    console.print(_table(console, headers, list(_closing_rows(found))), crop=False)
    if found.by_last_number > found.all.right:
        text = f"{right_last_words(found.by_last_number)}, whatever the format."
        console.print(Text(text))
    console.print(Text(f"Accuracy if closed so: {_accuracy(found)}."))
    for reading in closing_readings(found):
        console.print(Text(reading, style="bold yellow"))
    gap = gap_sentence(found)
    if gap is not None:
        console.print(Text(gap))


def _closing_rows(found: ProbeFindings) -> Iterator[tuple[str, ...]]:
    for name, tally in (("at the cap", found.capped), ("by themselves", found.alone)):
        if tally.n:
            yield name, count(tally.n), count(tally.ended), count(tally.right), _share(tally)
    everything = found.all
    yield "all", *map(count, (everything.n, everything.ended, everything.right)), _share(everything)
    closed, right = found.closed_alone
    if closed:
        alone = Tally(closed, closed, right)
        yield "(closed already)", "-", count(closed), count(right), _share(alone)


def _heading(console: Console, text: str, found: ProbeFindings) -> None:
    if found.limited:
        text += f" ({count(found.all.n)} of them probed)"
    console.print(Padding(Text(text, style="bold underline"), (1, 0, 0, 0)))


def _table(console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    columns = [
        FitColumn(header, [Text(row[index]) for row in rows], 99 - index, right=index > 0)
        for index, header in enumerate(headers)
    ]
    return fitted_table(columns, console)


def _accuracy(found: ProbeFindings) -> str:
    """A probe of some of the responses says what accuracy would be at least."""
    return ("at least " if found.limited else "") + percent(found.accuracy_if)


def _share(tally: Tally) -> str:
    return f"{percent(tally.right / tally.n)} {interval(wilson_interval(tally.right, tally.n))}"


def _diagnose(report: ProbeReport) -> Text:
    step = f" --step {report.evaluation.step}"
    return plain(f"a5ctl diagnose {report.run.id}{step}", style="cyan")
