"""`a5ctl plot`: curves of runs, in the terminal or as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from a5ctl.options import HomeOption, JsonOption, RegistryOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from a5ctl.plots.panels import Axis, Panel
    from core.registry.records import RunRecord
    from core.registry.store import Registry

_POINTS, _MOST_POINTS = 200, 100_000
_MOST_METRICS = 12


def plot(
    metric: Annotated[
        str,
        typer.Argument(
            help="Metric, or several with commas between; accuracy, accuracy.GRADER, formatted, "
            "unclosed, truncated, unparseable, types and lengths are those of evaluations."
        ),
    ],
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Ids, unique prefixes, or names of runs."),
    ] = None,
    group: Annotated[str | None, typer.Option(help="The runs of this group, too.")] = None,
    each: Annotated[
        bool, typer.Option("--each", help="One line per run, seeds are not merged.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw a picture instead: .png, .svg or .pdf."),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            help="Size of the picture: column (of a paper), page, slide, or inches such as 6x4."
        ),
    ] = "page",
    title: Annotated[str, typer.Option(help="Title of the picture; none when not given.")] = "",
    x: Annotated[str, typer.Option(help="What runs along the bottom: step, time or tokens.")] = (
        "step"
    ),
    smooth: Annotated[
        float,
        typer.Option(help="Average with what went before, by this weight from 0 to below 1."),
    ] = 0.0,
    points: Annotated[
        int,
        typer.Option(
            min=1,
            max=_MOST_POINTS,
            help="At most so many points per line.",
        ),
    ] = _POINTS,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Draw metrics over the steps of runs: one chart per metric, one line per setting.

    Runs that differ in nothing but their seed are one line, their mean; from three seeds on with
    Student's 95% interval. Where there are more values than points, a line shows means, and a
    picture the smallest and largest around them. Figures of evaluations have their 95% intervals.

    Examples:

        a5ctl plot loss sft-256-k3f9 sft-512-m2x7

        a5ctl plot accuracy --group matrix-k3f9 --out accuracy.pdf --size column

        a5ctl plot types,lengths sft-256-k3f9 --out failures.png

        a5ctl plot reward,entropy,kl grpo-x2m1 --smooth 0.9

        a5ctl plot accuracy,loss sft-256-k3f9 --x tokens --out accuracy.pdf
    """
    from a5ctl.options import open_workspace_and_registry
    from a5ctl.plots.curves import read_panels
    from a5ctl.plots.labels import drawn_together
    from a5ctl.plots.panels import smoothed
    from a5ctl.plots.picture import check_suffix, write_picture
    from a5ctl.plots.seeds import with_seeds_merged
    from a5ctl.plots.sizes import parse_size

    axis, names, inches = _axis(x), metric_names(metric), parse_size(size)
    _check_smooth(smooth)
    if out is not None:
        check_suffix(out)
    _, store = open_workspace_and_registry(home, registry)
    chosen = _chosen(store, runs or [], group)
    panels = read_panels(store, chosen, names, axis, points)
    panels = [smoothed(panel, smooth) for panel in panels]
    panels = with_seeds_merged(panels, drawn_together(store, chosen, each=each), points)
    if out is not None:
        write_picture(out, panels, axis, size=inches, title=title)
    if json_:
        _print_json(panels, axis, out)
    else:
        _show(panels, axis, out)


def _chosen(store: "Registry", names: "Sequence[str]", group: str | None) -> "list[RunRecord]":
    from core.errors import UserError

    if not names and group is None:
        raise UserError("name the runs to plot, or --group GROUP; a5ctl ls lists both")
    found = [store.find_run(name) for name in names]
    if group is not None:
        members = store.runs(group=group, archived=False)[::-1]
        if not members:
            raise UserError(f"there are no runs of group {group}; a5ctl ls shows the groups")
        found += members
    return list({run.uuid: run for run in found}.values())


def _show(panels: "Sequence[Panel]", axis: "Axis", out: Path | None) -> None:
    from a5ctl.console import out as standard
    from a5ctl.console import plain
    from a5ctl.plots.chart import print_charts

    console = standard()
    if out is not None:
        console.print(plain(f"drawn into {out}"), soft_wrap=True)
    else:
        print_charts(console, panels, axis)
    for panel in panels:
        if panel.missing:
            runs = ", ".join(panel.missing[:3]) + (" and more" if panel.missing[3:] else "")
            console.print(plain(f"{panel.metric}: nothing to draw of {runs}", "yellow"))


def _print_json(panels: "Sequence[Panel]", axis: "Axis", out: Path | None) -> None:
    from dataclasses import asdict

    from a5ctl.console import print_json

    print_json(
        {
            "x": axis.value,
            "out": None if out is None else str(out),
            "panels": [asdict(panel) for panel in panels],
        }
    )


def _axis(name: str) -> "Axis":
    from a5ctl.plots.panels import Axis
    from core.errors import UserError

    if name not in set(Axis):
        raise UserError(f"--x {name!r} is unknown; choose {', '.join(Axis)}")
    return Axis(name)


def metric_names(text: str) -> list[str]:
    """Names with commas between.

    Raises:
        UserError: one is empty, or there are too many.
    """
    from core.errors import UserError
    from core.registry.codec import clean

    names = list(dict.fromkeys(part.strip() for part in clean(text).split(",")))
    if not all(names):
        raise UserError(f"{text!r} has an empty name; write for example loss,accuracy")
    if len(names) > _MOST_METRICS:
        raise UserError(f"{len(names)} metrics were named; at most {_MOST_METRICS} are drawn")
    return names


def _check_smooth(weight: float) -> None:
    from core.errors import UserError

    if not 0 <= weight < 1:
        raise UserError(f"--smooth {weight:g} is no weight; give 0 for none, up to 0.999")
