"""The options of `a5ctl compare`."""

from pathlib import Path
from typing import Annotated

import typer

_ROWS, _WHICH = "Rows and columns", "Which runs"

Group = Annotated[str | None, typer.Option(help="Only runs of this group.", rich_help_panel=_WHICH)]
Kind = Annotated[
    str | None,
    typer.Option(
        help="Only runs of this kind: sft, ei, grpo, dpo or eval.", rich_help_panel=_WHICH
    ),
]
Archived = Annotated[
    bool,
    typer.Option("--archived", help="With the runs in the archive.", rich_help_panel=_WHICH),
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="SETTINGS",
        help="One row for every combination of these settings, with commas between: "
        "size,supervise.",
        rich_help_panel=_ROWS,
    ),
]
Metric = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Compare by this: accuracy, accuracy.GRADER, formatted, unclosed, truncated, "
        "unparseable, type1, type2, type3, length, or a metric such as loss or reward.",
        rich_help_panel=_ROWS,
    ),
]
At = Annotated[
    str,
    typer.Option(
        metavar="WHEN",
        help="The moment of each run: last, best (by accuracy), a step, or budget: the training "
        "tokens that all of them reached.",
        rich_help_panel=_ROWS,
    ),
]
Spark = Annotated[
    str | None,
    typer.Option(
        metavar="METRIC",
        help="Draw this metric as a small curve in each row; what is compared when not given.",
        rich_help_panel=_ROWS,
    ),
]
FollowLineage = Annotated[
    bool,
    typer.Option(
        "--follow-lineage",
        help="Count the steps, tokens and time of the runs that a run began with, too.",
        rich_help_panel=_ROWS,
    ),
]
Each = Annotated[
    bool,
    typer.Option("--each", help="One row per run, seeds are not merged.", rich_help_panel=_ROWS),
]
Same = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SETTING",
        help="Runs may differ in this and still be one setting, such as dpo.pairs where each "
        "seed learned from its own; may be repeated.",
        rich_help_panel=_ROWS,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="At most so many rows, best first; 0 for all, 50 in tables when not given.",
        rich_help_panel=_ROWS,
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", help="table, md, csv, json, latex or html.", rich_help_panel=_ROWS),
]
Grader = Annotated[
    str | None,
    typer.Option(
        help="Accuracy under r1_zero, strict, lenient, diagnostic, question_only or "
        "multiple_choice."
    ),
]
Baseline = Annotated[
    str | None, typer.Option(help="Test every run against this one, on the same problems.")
]
Lineage = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Follow the line of this run from its first weights: what did each stage add?",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Test even where the protocols differ.")]
Criteria = Annotated[
    Path | None,
    typer.Option(
        help="Judge the runs by a plan (TOML, see docs/criteria.md); before they start, "
        "this notes the plan and its time."
    ),
]
