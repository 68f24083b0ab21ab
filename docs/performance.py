"""Writes docs/performance.md from benchmarks/results/, benchmarks/README.md and docs/decisions.md.

    python docs/performance.py

A test fails when the page is not what this gives. It measures nothing: the scripts named on the
page make the results.
"""

import json
import operator
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGE = FOLDER / "performance.md"
BENCHMARKS = FOLDER.parent / "benchmarks"
RESULTS = BENCHMARKS / "results"
_NOTE = "<!-- Written by docs/performance.py from benchmarks/results/; edit those, not this. -->"
_COMPARE = {"at least": operator.ge, "at most": operator.le, "under": operator.lt}
Results = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Promise:
    """Something the project says of itself, and what was measured.

    Attributes:
        text: What is promised.
        bar: `at least`, `at most` or `under`, a number, and a unit.
        values: What was measured, each with what it was measured on; none where nobody has yet.
        script: What measures it.
        remark: What to know beside it.
    """

    text: str
    bar: str
    values: tuple[tuple[str, float], ...]
    script: str
    remark: str = ""

    def meets(self, value: float) -> bool:
        """Whether a value reaches the bar."""
        sign, limit = re.match(r"(at least|at most|under) ([\d.]+)", self.bar).groups()
        return bool(_COMPARE[sign](value, float(limit)))

    @property
    def state(self) -> str:
        """`kept`, `not kept`, or `never measured`."""
        if not self.values:
            return "never measured"
        return "kept" if all(self.meets(value) for _, value in self.values) else "not kept"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    found = results()
    parts = [
        f"# Performance\n\n{_NOTE}",
        "Figures depend on the machine and on what else it does; tests assert none of them. Each "
        "comes from a script in `benchmarks/`, which also writes it to `benchmarks/results/`.",
        _promises(found),
        _gpu(found),
        _machine(found),
        *_tables(found),
        _tried(),
    ]
    return "\n\n".join(parts) + "\n"


def results() -> Results:
    """Every file of results by name; dry runs are none."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(RESULTS.glob("*.json"))
        if not path.stem.endswith("_dry_run")
    }


def promises(found: Results) -> list[Promise]:
    """What is promised, with what was measured of it."""
    sft, commands = found["sft_speed"], found["registry_scale"]["sizes"]["1000x1200"]["commands"]
    overhead = found["step_overhead"]
    models = [name for name in sft if name != "machine"]
    piped = overhead["milliseconds_per_step"]["piped"]["percent_of_step_cpu"]["median"]
    busy = (
        f"of wall time, on a busy machine (load {overhead['load']:.1f}), which makes steps long; "
        f"of processor time {_number(piped)} % where piped"
    )
    return [
        Promise(
            "SFT on a CPU, tokens/s beside TRL as installed",
            "at least 4 times",
            tuple(
                (name, sft[name]["ratios"]["default"]["wall"])
                for name in models
                if "default" in sft[name]["ratios"]
            ),
            "sft_speed.py",
            f"by processor time {_number(sft['builtin']['ratios']['default']['cpu'])} times; the "
            "larger models were not measured against it",
        ),
        Promise(
            "SFT on a CPU, tokens/s beside TRL's best configuration",
            "at least 2 times",
            tuple((name, sft[name]["ratios"]["best"]["wall"]) for name in models),
            "sft_speed.py",
        ),
        Promise(
            "SFT on one GPU, tokens/s beside TRL's best configuration",
            "at least 1.2 times",
            _suite(found, "against trl", "times"),
            "gpu_suite.py",
        ),
        Promise(
            "SFT on one H200 at the 0.5B shape, MFU",
            "at least 40 %",
            _suite(found, "packed.*: MFU", "share", "sft-0.5b"),
            "gpu_suite.py",
        ),
        Promise(
            "SFT on one H200 at the 1.5B shape, MFU",
            "at least 45 %",
            _suite(found, "packed.*: MFU", "share", "sft-1.5b"),
            "gpu_suite.py",
        ),
        Promise(
            "Losses of 100 steps, GPU in bfloat16 against the CPU in float32",
            "at most 1 %",
            _suite(found, "random weights, cuda-mixed: largest gap", "share"),
            "gpu_suite.py",
        ),
        Promise(
            "Estimate of a GPU's peak memory, off by",
            "at most 10 %",
            _suite(found, "estimate off by", "share"),
            "gpu_suite.py",
        ),
        Promise(
            "SFT of the 1.5B shape on a 40 GB card, memory reserved",
            "at most 40 GiB",
            _suite(found, "sft, .*40 GB card: reserved", "GiB"),
            "gpu_suite.py",
        ),
        Promise(
            "A step of GRPO beside TRL at its best",
            "at least 1.5 times",
            (("natural-64", found["grpo_speed"]["natural-64"]["ratios"][_BEST_GRPO]["step"]),),
            "grpo_speed.py",
            "TRL with transformers; its vLLM path did not start on a CPU",
        ),
        Promise(
            "Evaluation beside bare vLLM on the same prompts",
            "at most 1.1 times",
            _suite(found, "bare vllm against a5ctl", "times"),
            "gpu_suite.py",
            "no result of a CPU is kept either",
        ),
        Promise(
            "Recording, share of a step",
            "under 1 %",
            tuple(
                (where, overhead["milliseconds_per_step"][where]["percent_of_step"]["median"])
                for where in ("terminal", "piped")
            ),
            "step_overhead.py",
            busy,
        ),
        Promise(
            "Recording, cost of a step's metrics beside MLflow",
            "at least 10 times",
            tuple(
                (pace.replace("_", " "), one["mlflow"]["cpu"] / one["a5ctl"]["cpu"])
                for pace, one in found["recording_cost"].items()
                if pace in ("in_a_row", "paced")
            ),
            "recording_cost.py",
            "processor time",
        ),
        Promise(
            "`a5ctl --help`",
            "under 0.2 s",
            (("", _seconds(found, "cli_latency", "a5ctl --help")),),
            "cli_latency.py",
        ),
        Promise(
            "`ls` and `compare` with 1,000 runs of 1,200 steps and 20 metrics",
            "under 0.5 s",
            tuple(
                (name, one["wall"]["median"])
                for name, one in commands.items()
                if name.split()[0] in ("ls", "compare")
            ),
            "registry_scale.py",
            "all their forms; see the table of commands",
        ),
        Promise(
            "Copying the policy into vLLM on a CPU, plain copies in memory",
            "at most 3 times",
            tuple(
                (name, one["ratio"]["cpu"]["mean"])
                for name, one in found["weight_copy"]["models"].items()
            ),
            "weight_copy.py",
            "mean over 64 copies; the first pass after a copy packs the layers, 3 to 6 more",
        ),
        Promise(
            "Responses in the registry, share of their plain text",
            "at most 0.35 times",
            tuple((name, one["share"]) for name, one in found["response_size"]["cases"].items()),
            "response_size.py",
            "docs/storage.md says what the cases are",
        ),
        Promise(
            "`diagnose` with a million responses",
            "at most 1 s",
            tuple(
                (f"{name}: {view}", figures["wall"])
                for name, one in found["diagnose_scale"]["registries"].items()
                for view, figures in one["views"].items()
            ),
            "diagnose_scale.py",
        ),
    ]


_BEST_GRPO = "by-8-2-threads / ours"


def _suite(
    found: Results, name: str, unit: str, part: str | None = None
) -> tuple[tuple[str, float], ...]:
    """Figures of the GPU suite whose name fits; shares in percent, none without a result."""
    parts = found.get("gpu_suite", {}).get("parts", {})
    return tuple(
        (f"{key}: {row['name']}", row["value"] * (100 if unit == "share" else 1))
        for key, one in parts.items()
        if part in (None, key)
        for row in one["rows"]
        if row["kind"] == "figure" and re.search(name, row["name"])
    )


def _seconds(found: Results, file: str, name: str) -> float:
    return float(found[file]["seconds"][name]["median"])


def _promises(found: Results) -> str:
    order = {"not kept": 0, "never measured": 1, "kept": 2}
    rows = [
        (f"**{one.state}**" if one.state != "kept" else one.state, one.text, one.bar,
         _measured(one), f"`{one.script}`", one.remark)
        for one in sorted(promises(found), key=lambda one: order[one.state])
    ]  # fmt: skip
    head = ("", "promise", "bar", "measured", "by", "remark")
    said = "Those that are not kept come first, then those that nobody has measured."
    return f"## Promises\n\n{said}\n\n{_rows(head, rows)}"


def _measured(promise: Promise) -> str:
    if not promise.values:
        return "no figure"
    if len(promise.values) > 4:
        failing = [value for _, value in promise.values if not promise.meets(value)]
        amounts = sorted(value for _, value in promise.values)
        span = f"{_number(amounts[0])} to {_number(amounts[-1])}"
        return f"{span}; {len(failing)} of {len(amounts)} miss it"
    shown = (f"{name} {_number(value)}".strip() for name, value in promise.values)
    return ", ".join(shown)


def _gpu(found: Results) -> str:
    """What is known of GPUs: the table of the suite, or that nothing is."""
    command = "```sh\npython benchmarks/gpu_suite.py\n```"
    what = (
        "It takes under ten minutes, needs a checkout, torch and transformers, and no network, and "
        "prints a table: SFT at the 0.5B and 1.5B shapes beside TRL and a plain loop, memory "
        "against the estimate, phases of GRPO, weight copies, checkpoints, recording, evaluation. "
        "What is not installed is named in it. `benchmarks/README.md` says how to carry the "
        "packages that a machine lacks, and `benchmarks/gpu_mfu.py` what MFU means. With "
        "`--dry-run` it goes through all of it on a CPU. What training does to be fast there is "
        "told in [speed](speed.md), where engines go in [placement](placement.md), what fits which "
        "card, by reckoning, in [memory](memory.md), and what else was reckoned before anything "
        "could be measured in [decisions](decisions.md)."
    )
    suite = found.get("gpu_suite")
    if suite is None or suite["dry_run"]:
        told = "**No figure of a GPU exists yet.** Nothing below was measured on one. This command"
        return f"## GPU\n\n{told} would make them:\n\n{command}\n\n{what}"
    rows = [
        (part, row["name"], _suite_figure(row), row["note"])
        for part, one in suite["parts"].items()
        for row in one["rows"]
    ]
    table = _rows(("part", "what", "figure", "how"), rows)
    return f"## GPU\n\n{command}\n\n{what}\n\n{table}"


def _suite_figure(row: Mapping[str, Any]) -> str:
    if row["kind"] != "figure":
        return str(row["text"] or row["kind"])
    value = row["value"] * (100 if row["unit"] == "share" else 1)
    return f"{_number(value)} {'%' if row['unit'] == 'share' else row['unit']}".strip()


def _machine(found: Results) -> str:
    kinds = sorted(
        {
            (one["machine"]["cores"], one["machine"]["python"])
            for one in found.values()
            if "machine" in one
        }
    )
    said = "; ".join(f"{cores} cores, Python {python}" for cores, python in kinds)
    versions = found["sft_speed"]["builtin"]["versions"]
    ours = ", ".join(f"{name} {version}" for name, version in versions["ours"].items())
    return (
        "## Machine of all other figures\n\n"
        f"A virtual machine for x86-64 without a GPU: {said}, {ours}; TRL {versions['peer']['trl']}"
        " where it is the peer. Others used the same cores at times: `load` in a result says how "
        "much, and processor time stands beside wall time where it matters."
    )


def _tables(found: Results) -> Iterator[str]:
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
        question, command = _asked(file)
        text = _rows(head, list(rows(found[file])))
        yield f"### {title}\n\n{question}\n\n```sh\n{command}\n```\n\n{text}"
    yield _safety(found)


_SFT_HEAD = ("model", "a5ctl", "TRL's best", "times", "TRL as installed", "times")


def _sft_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found.items():
        if name == "machine":
            continue
        sides = (_middle(one, side) for side in ("ours", one["best"], "default"))
        ours, best, default = (None if rate is None else f"{rate:,.0f} tokens/s" for rate in sides)
        times = {key: _number(value["wall"]) for key, value in one["ratios"].items()}
        yield name, ours, best, times["best"], default or "-", times.get("default", "-")


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
            first = runs[0]
            ratio = one["ratios"].get(f"{side} / ours", {}).get("step")
            yield (
                f"{name}, {side}", f"{first['step_seconds']:.2f} s",
                f"{first['phases']['generate']:.2f} s", f"{first['phases']['update']:.2f} s",
                "-" if ratio is None else _number(ratio),
            )  # fmt: skip


def _memory_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found.items():
        estimated, peak = one["estimated_mib"], one["peak_mib"]
        yield name, f"{estimated:,.0f} MiB", f"{peak:,.0f} MiB", _number(one["peak_to_estimate"])


_COPY_HEAD = ("model", "MB", "copy", "mean with comparisons", "vLLM's reload")


def _copy_rows(found: Results) -> Iterator[Sequence[str]]:
    for name, one in found["models"].items():
        ratio = one["ratio"]["cpu"]
        times = (f"{_number(ratio[key])} times" for key in ("copy", "mean", "reload"))
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
    return f"### Under accidents\n\n{_rows(('script', 'found'), rows)}"


def _asked(file: str) -> tuple[str, str]:
    """Question and command of a script, as benchmarks/README.md has them.

    Raises:
        SystemExit: it has none.
    """
    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    line = re.search(rf"^\| `{file}\.py` \| (.*?) \| `(.*?)`", text, re.MULTILINE)
    if line is None:
        raise SystemExit(f"benchmarks/README.md has no line for {file}.py")
    return line[1], line[2]


# of docs/decisions.md: what was tried for speed and not kept, by the beginnings of the entries
TRIED = (
    "pretraining the built-in base",
    "packed rows and kernels on CUDA",
    "no stream of its own copies rows",
    "negative: vLLM's reload on CPU",
    "negative: fine-tuning's rows",
    "entropies stay on in GRPO",
)


def _tried() -> str:
    """Entries of docs/decisions.md, whole."""
    text = (FOLDER / "decisions.md").read_text(encoding="utf-8")
    entries = [
        " ".join(entry.split())
        for entry in re.findall(r"^- (\*\*.*?)(?=^- |^#|\Z)", text, re.MULTILINE | re.DOTALL)
    ]
    lines = []
    for title in TRIED:
        fitting = [
            entry for entry in entries if re.match(rf"\*\*[\d-]+, {re.escape(title)}", entry)
        ]
        if len(fitting) != 1:
            raise SystemExit(f"docs/decisions.md has {len(fitting)} entries that begin: {title}")
        lines.append(f"- {fitting[0]}")
    told = "From [decisions](decisions.md); those on CUDA were read or reasoned, not measured."
    return f"## Tried, and no help\n\n{told}\n\n" + "\n".join(lines)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str | None]]) -> str:
    cells: Callable[[Sequence[str | None]], str] = lambda row: (  # noqa: E731
        "| " + " | ".join(str(cell or "").replace("|", "\\|") for cell in row) + " |"
    )
    return "\n".join([cells(head), "|" + " --- |" * len(head), *map(cells, rows)])


if __name__ == "__main__":
    sys.exit(main())
