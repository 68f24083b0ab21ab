"""What stands below a comparison: what its columns mean, and what they can tell."""

from collections.abc import Sequence

from a5ctl.format import figure, first_of, noise_words, percent
from a5ctl.tables.comparison import Comparison
from a5ctl.tables.comparison_columns import CURVE, comparison_columns, told_once
from a5ctl.tables.comparison_view import setting_line
from a5ctl.tables.measures import measure_of
from a5ctl.tables.moments import Moment
from a5ctl.tables.settings import short_name, value_text

_NAMED = 3
_HIDDEN_NAMED = 16


def comparison_notes(comparison: Comparison, hidden: Sequence[str] = ()) -> list[str]:
    """One sentence each.

    Args:
        comparison: As it is shown.
        hidden: Titles of columns that a terminal has no room for.
    """
    notes = [_measured(comparison), *_unfinished(comparison)]
    if any(len(cell.entries) > 1 for cell in comparison.cells):
        notes.append(
            "rows with several seeds show mean ± standard error; --each lists every run"
            if comparison.view.by is None
            else "rows are means over runs; intervals are Student's over seeds"
        )
    if comparison.curves and CURVE not in hidden:
        notes.append(_curve(comparison))
    if comparison.view.follow_lineage:
        notes.append("step, tokens and time have in them what runs took over from those before")
    alike = told_once(comparison, comparison_columns(comparison))
    told = [f"{column.title} {text}" for column, text in alike if text not in ("-", "")]
    told = [f"{short_name(k)} {value_text(k, v)}" for k, v in comparison.common.items()] + told
    if told:
        notes.append(f"the same in every row: {', '.join(told)}")
    if comparison.same:
        notes.append(f"taken as one setting, whatever it is: {', '.join(comparison.same)}")
    notes += _sample_notes(comparison)
    notes += detectable_line(comparison)
    if comparison.baseline is not None:
        notes += _test_notes(comparison, hidden)
    if hidden:
        names = first_of(hidden, _HIDDEN_NAMED)
        notes.append(f"hidden at this width: {names} (a wider terminal, or --json)")
    return notes


def _measured(comparison: Comparison) -> str:
    grader = f"{comparison.grader} grader"
    if comparison.grader is None:
        grader = "each run's own grader (--grader takes one for all)"
    at, name = comparison.view.at, comparison.measure.name
    where = {
        Moment.LAST: "last evaluation of each run",
        Moment.BEST: "best evaluation of each run",
        Moment.BUDGET: "last evaluation of each run within the budget",
    }.get(at.moment, f"evaluation at step {at.step}")
    if comparison.measure.evaluated:
        return f"{name}: {grader}, {where}"
    recorded = "last value" if at.moment is Moment.LAST else "value at the step of the evaluation"
    return f"{name}: {recorded} that each run recorded; accuracy: {grader}, {where}"


def _unfinished(comparison: Comparison) -> list[str]:
    """Runs whose last evaluation is not that of their end."""
    if comparison.view.at.moment is not Moment.LAST:
        return []
    found = [
        f"{entry.run.id} ({entry.run.status}, step {entry.reached})"
        for entry in comparison.entries
        if entry.reached is not None
    ]
    return [f"not at their end: {first_of(found, _NAMED)}"] if found else []


def _curve(comparison: Comparison) -> str:
    name = comparison.view.spark or ""
    values = [value for curve in comparison.curves.values() for _, value in curve]
    shares = measure_of(name).share
    low, high = (percent(v) if shares else figure(v) for v in (min(values), max(values)))
    over = "evaluations" if measure_of(name).evaluated else "steps"
    return f"{CURVE}: {name} over the {over}, one scale for all; runs lie between {low} and {high}"


def _sample_notes(comparison: Comparison) -> list[str]:
    notes = []
    for entry in (entry for cell in comparison.cells for entry in cell.entries):
        if entry.sampled is not None:
            chances = [f"pass@{k} {percent(p)}" for k, p in entry.sampled.pass_at_k.items()]
            notes.append(
                f"{entry.run.id}: {entry.sampled.samples} samples per problem, "
                f"{', '.join(chances)}, majority vote {percent(entry.sampled.majority)}"
            )
    return notes


def _method(comparison: Comparison) -> str:
    found = {p.comparison.method.value for p in comparison.paired.values() if p.comparison}
    return " or ".join(sorted(found)) or "exact McNemar"


def detectable_line(comparison: Comparison) -> list[str]:
    """How large a difference has to be; nothing where the table cannot say."""
    found = comparison.detectable
    if found is None or found.difference == 0:
        return []
    if found.seeds is not None:
        return [
            f"between the best two rows, over {found.seeds} paired seeds and {found.problems:,} "
            f"problems: {noise_words(found.difference, found.seeds_needed, found.seeds)}"
        ]
    which = "this discordance" if comparison.paired else "the discordance of the best two runs"
    return [
        f"with {found.problems:,} problems and {which}, {noise_words(found.difference)} (80% power)"
    ]


def _test_notes(comparison: Comparison, hidden: Sequence[str]) -> list[str]:
    told = {
        "diff": f"diff: points against {comparison.baseline} on the same problems",
        "95% of diff": "95% of diff: by a bootstrap over problems",
        "+/-": "+/-: problems gained and lost",
        "p (Holm)": f"p: {_method(comparison)}, Holm-corrected",
    }
    columns = [text for title, text in told.items() if title not in hidden]
    notes = ["; ".join([*columns, "one seed speaks of these checkpoints only"])]
    notes += [setting_line(test) for test in comparison.settings]
    notes += [
        f"{name} is not tested: {test.refused}"
        for name, test in comparison.paired.items()
        if test.comparison is None
    ]
    return notes
