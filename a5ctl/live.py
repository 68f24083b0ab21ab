"""What a person sees while a run works: preflight, a live bar, every evaluation as it comes."""

import time

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, duration, interval, percent, tail
from a5ctl.live_area import LiveArea
from core.config.schema import RunConfig, RunKind
from core.evaluation import EvaluationResult, EvaluationSummary
from core.responses.names import GraderName
from trainers.observer import Observer, Severity, StepReport
from trainers.preflight import PreflightReport

_MARKS = {
    Severity.INFO: ("✓", "green"),
    Severity.WARNING: ("!", "yellow"),
    Severity.ERROR: ("✗", "red"),
}
_LOG_EVERY_SECONDS = 10.0


class RunDisplay(LiveArea, Observer):
    """Draws one run on a console; a live bar on terminals, plain lines elsewhere.

    Use as a context manager, so that the cursor is restored however the run ends.
    """

    _stop = "Ctrl-C stops the run; a5ctl resume goes on with the same numbers"

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        super().__init__(console, quiet=quiet)
        self._clock = _Clock()
        self._last_log = time.monotonic()

    def started(self, run_id: str, config: RunConfig) -> None:
        """Name the run and what it works on."""
        self._print(_headline(run_id, config))

    def phase(self, text: str) -> None:
        """Show what is being waited for."""
        if self._live is not None:
            self._shown = Group(Text(f"  {text} ...", style="dim"), _stopping(self._stop))
        else:
            self._print(Text(f"{text} ...", style="dim"))

    def preflight(self, report: PreflightReport) -> None:
        """List every finding, then one example as the loss sees it."""
        self._print(Text("Preflight", style="bold"))
        grid = Table.grid(padding=(0, 1))
        for finding in report.findings:
            mark, style = _MARKS[finding.severity]
            grid.add_row(Text(f" {mark}", style=style), finding.check, plain(finding.message))
        self._print(grid)
        if report.example is not None:
            context, target = report.example.context[-80:], report.example.supervised
            shown = plain(f"…{context}", style="dim").append_text(plain(target, style="green"))
            self._print(Text("   one example (dim: context, green: learned):", style="dim"))
            self._print(_indented(shown))

    def step(self, report: StepReport) -> None:
        """Move the bar, or print a line every ten seconds and at both ends."""
        if self._live is not None:
            self._shown = Group(_training_bar(report), _stopping(self._stop))
            return
        if self._time_to_log() or report.step in (1, report.total):
            line = Text(f"step {report.step}/{report.total}").append_text(_figures(report))
            line.append(f"  {duration(report.seconds_left)} left")
            if not self._quiet:
                self._console.print(line, soft_wrap=True)

    def evaluation_progress(self, step: int, done: int, total: int) -> None:
        """Move the bar of the evaluation, or print a line every ten seconds."""
        self._progress(f"evaluation at step {step}", done, total)

    def rollout_progress(self, number: int, done: int, total: int) -> None:
        """Move the bar of the rollouts, or print a line every ten seconds."""
        self._progress(f"rollout batch {number}", done, total)

    def evaluation(self, result: EvaluationResult) -> None:
        """Show the figures of one evaluation."""
        self._shown = Text("")
        title = Text(f"Evaluation at step {result.step}", style="bold")
        title.append(
            f"  {count(result.summary.n)} responses from the {result.split} split, "
            f"{duration(result.seconds)}, {count(result.tokens_per_second)} tokens/s",
            style="dim",
        )
        self._print(title)
        self._print(evaluation_figures(result.summary, result.protocol.grading.grader))

    def event(self, severity: Severity, message: str, step: int | None) -> None:
        """Show an alarm or a note where it happened."""
        mark, style = _MARKS[severity]
        where = "" if step is None else f"step {step}: "
        self._print(Text(f" {mark} {where}", style=style).append_text(plain(message)))

    def _progress(self, label: str, done: int, total: int) -> None:
        if self._live is not None:
            left = self._clock.left(label, done, total)
            self._shown = Group(_bar(label, done, total, f"responses{left}"), _stopping(self._stop))
        elif done < total and self._time_to_log():
            self._print(Text(f"{label}: {done} of {total} responses", "dim"))

    def _time_to_log(self) -> bool:
        now = time.monotonic()
        if now - self._last_log < _LOG_EVERY_SECONDS:
            return False
        self._last_log = now
        return True

    def _print(self, what: RenderableType) -> None:
        if not self._quiet:
            self._console.print(what)


class _Clock:
    """Tells the time left of work that is counted, from its own pace."""

    def __init__(self) -> None:
        self._label = ""
        self._began = 0.0
        self._first = 0

    def left(self, label: str, done: int, total: int) -> str:
        """`, 12s left`; empty while nothing can be said."""
        now = time.monotonic()
        if label != self._label or done < self._first:
            self._label, self._began, self._first = label, now, done
        made, seconds = done - self._first, now - self._began
        if made <= 0 or seconds < 1 or done >= total:
            return ""
        return f", {duration(seconds / made * (total - done))} left"


class ProbeDisplay(RunDisplay):
    """The same for a probe: what it is doing, and how far it is."""

    _doing = "probe"
    _stop = "Ctrl-C stops the probe; what was stored before stays"

    def phase(self, text: str) -> None:
        """Show what begins; it also names the bar."""
        self._doing = text
        super().phase(text)

    def evaluation_progress(self, step: int, done: int, total: int) -> None:
        """Move the bar of the probe, or print a line every ten seconds."""
        self._progress(self._doing, done, total)


def evaluation_figures(summary: EvaluationSummary, grader: str) -> Text:
    """One evaluation in two short lines that fit 80 columns."""
    text = Text("   accuracy ")
    text.append(percent(summary.accuracy), style="bold cyan")
    text.append(f" {interval(summary.interval)}")
    text.append(f"  ({grader}; strict {percent(summary.accuracy_by_grader[GraderName.STRICT])}, ")
    text.append(f"lenient {percent(summary.accuracy_by_grader[GraderName.LENIENT])})\n")
    text.append(f"   type1 {summary.type1}  type2 {summary.type2}  type3 {summary.type3}")
    text.append(f"  unclosed {percent(summary.unclosed / max(1, summary.n))}")
    text.append(f"  unparseable {percent(summary.unparseable / max(1, summary.numeric))}")
    text.append(f"  at cap {percent(summary.truncated / max(1, summary.n))}")
    return text


def _headline(run_id: str, config: RunConfig) -> Text:
    text = Text("a5ctl ", style="dim").append(run_id, style="bold cyan")
    model = config.model.run or tail(config.model.source)
    parts = [f"model {model}", f"data {tail(config.data.source)}", f"seed {config.seed}"]
    if config.kind is not RunKind.EVAL:
        parts.append(f"lr {config.train.lr:g}")
    return text.append_text(plain("  " + "  ".join(parts), style="dim"))


def _training_bar(report: StepReport) -> RenderableType:
    left = f"{duration(report.seconds_left)} left"
    return Group(_bar("training", report.step, report.total, left), _figures(report))


def _stopping(text: str) -> Text:
    return Text(f"  {text}", style="dim")


def _bar(label: str, done: int, total: int, tail: str) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        Text(f"  {label}"),
        ProgressBar(total=total, completed=done, width=28),
        f"{done}/{total}",
        tail,
    )
    return grid


def _figures(report: StepReport) -> Text:
    m = report.metrics
    supervised = percent(m["supervised_fraction"], 0)
    return Text(
        f"  loss {m['loss']:.4f}  grad {m['grad_norm']:.2f}  lr {m['lr']:.2e}  "
        f"{count(report.tokens_per_second)} tok/s  supervised {supervised}"
    )


def _indented(text: Text) -> RenderableType:
    grid = Table.grid()
    grid.add_row("   ", text)
    return grid
