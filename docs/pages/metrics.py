"""docs/metrics.md: every metric, from the table of metrics."""

from docs.pages.markdown import NOTE, table


def metrics_reference() -> str:
    """Every metric of updates and evaluations."""
    from trainers.metric_table import METRICS, Topic

    parts = [f"# Metrics\n\n{NOTE}", _METRICS]
    for topic in Topic:
        rows = [
            (
                f"`{metric.name}`",
                str(metric.unit),
                metric.formula + ("; once per batch" if metric.once_per_batch else ""),
                f"`{metric.source}`",
            )
            for metric in METRICS
            if metric.topic is topic
        ]
        parts += [f"## {topic}", *([_EVALUATED] if topic is Topic.EVALUATION else [])]
        parts += [table(("metric", "unit", "formula", "source"), rows)]
    return "\n\n".join(parts) + "\n"


_METRICS = """\
An update records metrics under its step; `a5ctl plot METRIC RUN...` draws them, `a5ctl show RUN` \
lists them, `--where "metric.loss.min < 0.4"` finds runs by them ([queries](queries.md)). Values \
are 64-bit floats; NaN and infinities are kept as what they are. *Once per batch* stands for the \
first update after a batch of rollouts was sampled. Formulas of the losses are in \
`trainers/objectives`."""


_EVALUATED = """\
Every response is graded by every grader; intervals are 95% Wilson intervals. \
[Grading](grading.md) has the rules. `a5ctl plot` draws all but the counts and the gaps."""
