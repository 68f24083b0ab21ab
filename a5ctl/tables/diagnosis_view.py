"""A diagnosis on the screen, section by section, and as plain data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, interval, percent
from a5ctl.tables.causes_view import (
    cause_lines,
    causes_json,
    counterfactual_lines,
    counterfactuals_json,
)
from a5ctl.tables.diagnosis import Diagnosis
from a5ctl.tables.histograms import histogram_lines
from a5ctl.tables.probing_view import version_notes
from a5ctl.tables.responses import response_json, response_view, spread
from a5ctl.tables.selection import selection_note
from core.responses.breakdown import FailureBreakdown, FormatState, MathState
from core.responses.names import DESCRIPTIONS, FailureClass, FailureFlag, GraderName
from core.responses.verdict import Advice

FLAG_MEANINGS: Mapping[FailureFlag, str] = {
    FailureFlag.DEGENERATE_REPETITION: "ends in a loop",
    FailureFlag.RIGHT_BY_LAST_NUMBER: "its last number is the truth",
    FailureFlag.RIGHT_BY_R1_ZERO: "right to the course's grader",
    FailureFlag.TEMPLATE_COPY: "copies the prompt's placeholders",
}
FEW_CLASSES = 3
"""So many classes have their meanings below them in a narrow terminal."""
MOST_CLASSES = 6
"""So many classes have a line of their own."""
_MATH_TITLES = {
    MathState.RIGHT: "math right",
    MathState.WRONG: "math wrong",
    MathState.UNDETERMINED: "undetermined",
}
_FORMAT_TITLES = {FormatState.OK: "format ok", FormatState.NOT_OK: "format not ok"}


def print_diagnosis(
    console: Console,
    diagnosis: Diagnosis,
    failure: FailureClass | None = None,
    *,
    examples: int = 0,
    full: bool = False,
) -> None:
    """Print the overview, or what belongs to one failure class that somebody asked for.

    Args:
        console: Where to.
        diagnosis: What to show.
        failure: Only this class; everything when not given.
        examples: Responses to show of each class.
        full: Also show format by math, flags and lengths.
    """
    classes = classes_of(diagnosis, failure)
    if failure is not None and not classes:
        here = ", ".join(diagnosis.breakdown.by_class) or "no failure at all"
        console.print(f"nothing failed as {failure} at this step; there is {here}")
        return
    console.print(header(diagnosis, full=full))
    console.print(verdict(diagnosis))
    if failure is None:
        _overview(console, diagnosis)
    if classes:
        _section(console, "failures by class", class_lines(diagnosis, classes, console.width))
    if full and failure is None:
        _details(console, diagnosis)
    for shown in classes if examples else ():
        _examples(console, diagnosis, shown, examples)
    print_advice(console, diagnosis.explanation.advice)


def _overview(console: Console, diagnosis: Diagnosis) -> None:
    explanation = diagnosis.explanation
    for note in version_notes(diagnosis.probes, diagnosis.run.id):
        console.print(plain(note, style="yellow"))
    _section(console, "causes", list(cause_lines(explanation.causes)))
    if diagnosis.breakdown.failures:
        lines = list(counterfactual_lines(diagnosis.counterfactuals))
        _section(console, "what the accuracy would be", lines)


def _details(console: Console, diagnosis: Diagnosis) -> None:
    if diagnosis.breakdown.failures:
        _section(console, "failures by format and math", [state_table(diagnosis)])
        _section(console, "flags on failures", list(flag_lines(diagnosis)))
    lines = histogram_lines(diagnosis.lengths)
    _section(console, "lengths in tokens, right against wrong", lines)


def classes_of(diagnosis: Diagnosis, failure: FailureClass | None) -> list[FailureClass]:
    """The classes to show: the one asked for, if it occurs, or all, most frequent first."""
    counts = diagnosis.breakdown.by_class
    if failure is None:
        return sorted(counts, key=lambda name: -counts[name])
    return [failure] if failure in counts else []


def header(diagnosis: Diagnosis, *, full: bool = True) -> RenderableType:
    """Which evaluation this is, and its figures; its fingerprints in full."""
    evaluation = diagnosis.evaluation
    n = diagnosis.breakdown.n
    title = plain(diagnosis.run.id, style="bold cyan").append(
        f"  step {evaluation.step}  ", style="bold"
    )
    title.append_text(plain(f"{evaluation.split} of {evaluation.protocol.get('data_name', '?')}"))
    title.append(f"  n {count(n)}")
    accuracy = Text("accuracy ").append(percent(diagnosis.breakdown.accuracy), style="bold")
    accuracy.append(f" {interval(diagnosis.interval)} under {diagnosis.grader}")
    others = "  ".join(f"{g} {percent(_share(diagnosis, g))}" for g in _others(diagnosis))
    protocol = f"generation {evaluation.generation}, grading {evaluation.grading}"
    note = selection_note([diagnosis.run])
    return Group(
        title,
        accuracy,
        Text(others),
        *(Text(line) for line in _counts(diagnosis)),
        *([plain(note, style="yellow")] if note else []),
        *(plain(f"! {line}", style="yellow") for line in diagnosis.alarms),
        plain(_setup(diagnosis), style="dim"),
        *([plain(protocol, style="dim")] if full else []),
    )


def verdict(diagnosis: Diagnosis) -> RenderableType:
    """The plain-words verdict."""
    explanation = diagnosis.explanation
    body = Text(explanation.headline, style="bold yellow").append("\n")
    body.append_text(plain(" ".join(explanation.sentences), style="not bold default"))
    return Padding(body, (1, 0, 0, 0))


def class_lines(
    diagnosis: Diagnosis, classes: Sequence[FailureClass], width: int
) -> list[RenderableType]:
    """One line per class; its meaning beside it, or below where the terminal is narrow.

    Where there are many, those that hold little are added up, and narrow terminals go without
    meanings; `--class` has them.
    """
    summary = diagnosis.breakdown
    head = f"{'class':<23}{'count':>7}{'of all':>9}{'of wrong':>10}"
    beside = width >= len(head) + 3 + max(map(len, DESCRIPTIONS.values()))
    below = not beside and len(classes) <= FEW_CLASSES
    shown = classes[:MOST_CLASSES] if len(classes) > MOST_CLASSES + 1 else classes
    lines: list[RenderableType] = [Text(head, style="dim")]
    for failure in shown:
        line = _class_line(summary, failure, summary.by_class[failure])
        if beside:
            line.append(f"   {DESCRIPTIONS[failure]}", style="not bold dim")
        lines.append(line)
        if below:
            lines.append(Text(f"  {DESCRIPTIONS[failure]}", style="dim"))
    if rest := classes[len(shown) :]:
        amount = sum(summary.by_class[failure] for failure in rest)
        lines.append(_class_line(summary, f"{len(rest)} other classes", amount))
    return lines


def _class_line(summary: FailureBreakdown, name: str, amount: int) -> Text:
    figures = (
        f"{amount:>7,}{percent(amount / summary.n):>9}{percent(amount / summary.failures):>10}"
    )
    return Text(f"{name:<23}", style="bold").append(figures, style="not bold")


def state_table(diagnosis: Diagnosis) -> Table:
    """Failures by the state of their format and of their math."""
    summary = diagnosis.breakdown
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for title in (*_MATH_TITLES.values(), "all"):
        table.add_column(title, justify="right")
    for fmt, title in _FORMAT_TITLES.items():
        cells = [summary.by_state[fmt, math] for math in _MATH_TITLES]
        table.add_row(title, *(count(cell) for cell in cells), count(sum(cells)))
    totals = [summary.with_math(math) for math in _MATH_TITLES]
    table.add_row("all", *(count(total) for total in totals), count(sum(totals)), style="dim")
    return table


def flag_lines(diagnosis: Diagnosis) -> Iterator[Text]:
    """One line per flag that any failure has."""
    summary = diagnosis.breakdown
    for flag, amount in summary.by_flag.items():
        if amount:
            share = percent(amount / summary.failures)
            yield Text(f"{flag:<23}{amount:>7,}{share:>9} of wrong   ").append(
                FLAG_MEANINGS[flag], style="dim"
            )


def print_advice(console: Console, advice: Sequence[Advice]) -> None:
    """What to try, with the commands; a command is never broken over lines."""
    if not advice:
        return
    console.print(Padding(Rule("try", align="left", style="dim"), (1, 0, 0, 0)))
    for item in advice:
        console.print(plain(item.text, style="dim"))
        console.print(Text("  ").append_text(plain(item.command, style="cyan")), soft_wrap=True)


def diagnosis_json(
    diagnosis: Diagnosis, classes: Sequence[FailureClass], examples: int
) -> dict[str, Any]:
    """The diagnosis as plain data, with whole texts of the examples."""
    evaluation, summary = diagnosis.evaluation, diagnosis.breakdown
    return {
        "run": diagnosis.run.id,
        "run_uuid": diagnosis.run.uuid,
        "evaluation": evaluation.uuid,
        "step": evaluation.step,
        "split": evaluation.split,
        "n": summary.n,
        "grader": diagnosis.grader,
        "accuracy": summary.accuracy,
        "interval": diagnosis.interval,
        "accuracy_by_grader": {name: _share(diagnosis, name) for name in GraderName},
        "type1": diagnosis.type1,
        "type2": diagnosis.type2,
        "type3": diagnosis.type3,
        **{name: getattr(evaluation, name) for name in ("unclosed", "unparseable", "numeric")},
        "truncated": evaluation.truncated,
        "alarms": list(diagnosis.alarms),
        "protocol": dict(evaluation.protocol),
        "fingerprints": {"generation": evaluation.generation, "grading": evaluation.grading},
        "verdict": {
            "headline": diagnosis.explanation.headline,
            "sentences": diagnosis.explanation.sentences,
            "advice": [asdict(item) for item in diagnosis.explanation.advice],
        },
        "causes": causes_json(diagnosis.explanation.causes),
        "counterfactuals": counterfactuals_json(diagnosis.counterfactuals),
        "failures": summary.failures,
        "classes": [_class_json(diagnosis, failure, examples) for failure in classes],
        "format_and_math": [
            {"format": fmt, "math": math, "count": amount}
            for (fmt, math), amount in summary.by_state.items()
        ],
        "flags": {str(flag): amount for flag, amount in summary.by_flag.items()},
        "lengths": [asdict(contrast) for contrast in diagnosis.lengths],
    }


def _class_json(diagnosis: Diagnosis, failure: FailureClass, examples: int) -> dict[str, Any]:
    summary = diagnosis.breakdown
    cases = diagnosis.of_class(failure)
    return {
        "class": failure,
        "meaning": DESCRIPTIONS[failure],
        "count": len(cases),
        "of_all": len(cases) / summary.n,
        "of_failures": len(cases) / summary.failures,
        "lenient_right": summary.lenient_right_by_class.get(failure, 0),
        "accuracy_if_by_last_number": summary.accuracy_if_lenient(failure),
        "examples": [response_json(c.response, c.grade) for c in spread(cases, examples)],
    }


def _examples(console: Console, diagnosis: Diagnosis, failure: FailureClass, examples: int) -> None:
    cases = diagnosis.of_class(failure)
    shown = spread(cases, examples)
    title = f"{failure}: {len(shown)} of {count(len(cases))}"
    console.print(Rule(title, align="left", style="dim"))
    console.print(Text(DESCRIPTIONS[failure], style="dim italic"))
    for case in shown:
        console.print(response_view(case.response, case.grade))


def _section(console: Console, title: str, lines: Sequence[RenderableType]) -> None:
    if lines:
        console.print(Padding(Text(title, style="bold underline"), (1, 0, 0, 0)))
        for line in lines:
            console.print(line)


def _others(diagnosis: Diagnosis) -> list[GraderName]:
    wanted = (GraderName.R1_ZERO, GraderName.STRICT, GraderName.LENIENT, GraderName.DIAGNOSTIC)
    return [grader for grader in wanted if grader is not diagnosis.grader]


def _share(diagnosis: Diagnosis, grader: GraderName) -> float | None:
    if grader is diagnosis.grader:
        return diagnosis.breakdown.accuracy
    return diagnosis.evaluation.accuracy_by_grader.get(grader)


def _counts(diagnosis: Diagnosis) -> list[str]:
    evaluation, n = diagnosis.evaluation, diagnosis.breakdown.n
    types = (("type1", diagnosis.type1), ("type2", diagnosis.type2), ("type3", diagnosis.type3))
    unparseable = percent(
        evaluation.unparseable / evaluation.numeric if evaluation.numeric else None
    )
    return [
        "  ".join(f"{name} {count(amount)} ({percent(amount / n)})" for name, amount in types),
        f"unclosed {count(evaluation.unclosed)} ({percent(evaluation.unclosed / n)})  "
        f"unparseable {count(evaluation.unparseable)} ({unparseable})  "
        f"capped {count(evaluation.truncated)} ({percent(evaluation.truncated / n)})",
    ]


def _setup(diagnosis: Diagnosis) -> str:
    evaluation = diagnosis.evaluation
    fields = evaluation.protocol
    temperature = fields.get("temperature")
    if "tokenizer" in fields:  # from a file: nobody wrote down how it was generated
        counted = f"lengths by the tokenizer {fields['tokenizer']}"
        return f"prompt {fields.get('prompt_name', '?')}, decoding not recorded, {counted}"
    parts = [
        f"prompt {fields.get('prompt_name', '?')}",
        f"cap {fields.get('max_tokens', '?')} tokens",
        "greedy" if temperature == 0 else f"temperature {temperature}",
        f"{fields.get('engine', '?')} {fields.get('dtype', '')}".strip(),
    ]
    return ", ".join(parts)
