"""docs/performance.md, last part: a table for each benchmark on a CPU."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from docs.pages.markdown import table
from docs.pages.results import Results, asked, number, times_of_default


def figures_section(found: Results) -> Iterator[str]:
    """A part for each benchmark: its question, its command, its figures."""
    yield "## Figures"
    for title, file, head, rows in (
        ("Speed of SFT", "sft_speed", _SFT_HEAD, _sft_rows),
        ("Speed of GRPO", "grpo_speed", _GRPO_HEAD, _grpo_rows),
        ("Memory of SFT", "memory", ("model", "estimated", "peak", "ratio"), _memory_rows),
        ("Weight copies into vLLM", "weight_copy", _COPY_HEAD, _copy_rows),
        ("Checkpoints", "checkpoint", _CHECKPOINT_HEAD, _checkpoint_rows),
        ("Start of a run", "startup", ("run", "first update", "processor"), _startup_rows),
        ("A step's recording", "recording_cost", _RECORDING_HEAD, _recording_rows),
        ("Commands", "registry_scale", ("command", "1,000 runs", "10,000 runs"), _command_rows),
        ("The terminal interface", "ui_speed", _SCREEN_HEAD, _screen_rows),
        ("Grading", "grading", ("", "microseconds a response"), _grading_rows),
    ):
        question, command = asked(file)
        text = table(head, list(rows(found[file])))
        yield f"### {title}\n\n{question}\n\n```sh\n{command}\n```\n\n{text}"
    yield _safety(found)


_SFT_HEAD = ("model", "a5ctl", "TRL's best", "times", "TRL as installed", "times")


def _sft_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found.items():
        if name == "machine":
            continue
        sides = (_middle(one, side) for side in ("ours", one["best"], "default"))
        ours, best, default = (None if rate is None else f"{rate:,.0f} tokens/s" for rate in sides)
        installed = times_of_default(one)
        yield (
            name, ours, best, number(one["ratios"]["best"]["wall"]), default or "-",
            "-" if installed is None else number(installed),
        )  # fmt: skip


def _middle(one: Mapping[str, Any], side: str) -> float | None:
    rates = sorted(each["tokens_per_second"] for each in one.get(side, ()))
    if not rates:
        return None
    return (rates[(len(rates) - 1) // 2] + rates[len(rates) // 2]) / 2


_GRPO_HEAD = ("side", "step", "rollouts", "update", "a5ctl is quicker by")


def _grpo_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found.items():
        if name == "machine":
            continue
        for side, runs in one["sides"].items():
            step, rollouts, update = (
                median(read(run) for run in runs)
                for read in (
                    lambda run: run["step_seconds"],
                    lambda run: run["phases"]["generate"],
                    lambda run: run["phases"]["update"],
                )
            )
            ratio = one["ratios"].get(f"{side} / ours", {}).get("step")
            yield (
                f"{name}, {side}", f"{step:.2f} s", f"{rollouts:.2f} s", f"{update:.2f} s",
                "-" if ratio is None else number(ratio),
            )  # fmt: skip


def _memory_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found.items():
        estimated, peak = one["estimated_mib"], one["peak_mib"]
        yield name, f"{estimated:,.0f} MiB", f"{peak:,.0f} MiB", number(one["peak_to_estimate"])


_COPY_HEAD = ("model", "MB", "copy", "mean with comparisons", "vLLM's reload")


def _copy_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found["models"].items():
        ratio = one["ratio"]["cpu"]
        times = (f"{number(ratio[key])} times" for key in ("copy", "mean", "reload"))
        yield name, f"{one['bytes'] / 1e6:,.0f}", *times


_CHECKPOINT_HEAD = ("model", "MB", "checkpoint", "write and sync", "verify")


def _checkpoint_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found["models"].items():
        yield (
            name, f"{one['bytes'] / 1e6:,.0f}",
            f"{one['checkpoint_seconds']['median']:.2f} s",
            f"{one['write_and_sync_seconds']['median']:.2f} s", f"{one['verify_seconds']:.2f} s",
        )  # fmt: skip


def _startup_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found["seconds"].items():
        yield name, f"{one['begins']['median']:.1f} s", f"{one['begins_cpu']['median']:.1f} s"


_RECORDING_HEAD = ("tool", "call", "processor, in a row", "processor, 10 ms apart", "bytes")


def _recording_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found["in_a_row"].items():
        paced = found["paced"][name]
        call, *rest = (1e3 * value for value in (paced["call"], one["cpu"], paced["cpu"]))
        yield name, f"{call:.2f} ms", *(f"{value:.2f} ms" for value in rest), f"{one['bytes']:,.0f}"


def _command_rows(found: Results) -> Iterator[Sequence[str]]:
    small, large = (found["sizes"][size]["commands"] for size in ("1000x1200", "10000x20"))
    for name, one in small.items():
        yield name, *(f"{each['wall']['median']:.2f} s" for each in (one, large[name]))


_SCREEN_HEAD = ("screen", "first screen", "key to frame", "key to all of it")


def _screen_rows(found: Results) -> Iterator[Sequence[str]]:
    for size, one in found["seconds"].items():
        names = ("first_screen", "key_to_frame", "key_to_settled")
        yield size, *(f"{one[name]['median']:.2f} s" for name in names)


def _grading_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, key in (("a5ctl", "ours"), ("math-verify", "peer")):
        yield name, f"{found[key]['us_per_item_median']:.0f}"


def _safety(found: Results) -> str:
    """What broke, or did not, where processes were killed."""
    kills, plan, ray = found["kills"], found["plan_kills"], found["ray_lost_node"]
    same = "the same numbers" if ray["same_numbers"] else "other numbers"
    rows = [
        ("`kills.py`", f"{kills['kills']} kills of {kills['runs']} runs: {kills['damaged']} "
         f"damaged databases, {kills['lost_rows']} rows lost, {kills['differing']} that differ"),
        ("`plan_kills.py`", f"a plan of {plan['cells']} cells, killed three times: "
         f"{len(plan['differing'])} cells that differ in {plan['metric_values']:,} values"),
        ("`ray_lost_node.py`", f"one of {ray['nodes']} nodes died: all cells ended with {same}"),
        ("`many_writers.py`", f"{found['many_writers']['writers']} writers at once: "
         f"{len(found['many_writers']['errors'])} errors"),
        ("`fuzz_grading.py`", f"{found['fuzz_grading']['graded']:,} hostile responses: "
         f"{len(found['fuzz_grading']['exceptions'])} exceptions"),
    ]  # fmt: skip
    return f"### Under accidents\n\n{table(('script', 'found'), rows)}"
