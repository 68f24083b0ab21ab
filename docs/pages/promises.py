"""docs/performance.md, first part: what is promised, and what was measured of it."""

import operator
import re
from dataclasses import dataclass

from docs.pages.markdown import table
from docs.pages.results import Results, number, times_of_default

_BUSY = 1.5  # the measured run is 1 of it
_BEST_GRPO = "by-8-2-threads / ours"
_COMPARE = {"at least": operator.ge, "at most": operator.le, "under": operator.lt}


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


def promises(found: Results) -> list[Promise]:
    """What is promised, with what was measured of it."""
    sft, commands = found["sft_speed"], found["registry_scale"]["sizes"]["1000x1200"]["commands"]
    overhead = found["step_overhead"]
    models = [name for name in sft if name != "machine"]
    piped = overhead["milliseconds_per_step"]["piped"]["percent_of_step_cpu"]["median"]
    load = overhead["load"]
    busy = f", on a busy machine (load {load:.1f}), which makes steps long" if load > _BUSY else ""
    installed = {name: times_of_default(sft[name]) for name in models}
    unknown = [name for name, times in installed.items() if times is None]
    return [
        Promise(
            "SFT on a CPU, tokens/s beside TRL as installed",
            "at least 4 times",
            tuple((name, times) for name, times in installed.items() if times is not None),
            "sft_speed.py",
            f"by processor time builtin {number(sft['builtin']['ratios']['default']['cpu'])}"
            + (f"; not measured: {', '.join(unknown)}" if unknown else ""),
        ),
        Promise(
            "SFT on a CPU, tokens/s beside TRL's best configuration",
            "at least 2 times",
            tuple((name, sft[name]["ratios"]["best"]["wall"]) for name in models),
            "sft_speed.py",
            "its best: " + ", ".join(f"{name} {sft[name]['best']}" for name in models),
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
            f"of wall time{busy}; of processor time {number(piped)} % where piped",
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
            "all their forms; see the table of commands. Most of the time are imports: 0.1 s for "
            "what Typer checks options with, 0.1 s for NumPy, which --baseline's bootstrap needs",
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
            "kept from 300 bytes a response on, over two evaluations or more: its row and index "
            "alone take 50 (docs/storage.md)",
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


def promises_section(found: Results) -> str:
    """All promises in one table, those that are not kept first."""
    order = {"not kept": 0, "never measured": 1, "kept": 2}
    rows = [
        (f"**{one.state}**" if one.state != "kept" else one.state, one.text, one.bar,
         _measured(one), f"`{one.script}`", one.remark)
        for one in sorted(promises(found), key=lambda one: order[one.state])
    ]  # fmt: skip
    head = ("", "promise", "bar", "measured", "by", "remark")
    said = "Those that are not kept come first, then those that nobody has measured."
    return f"## Promises\n\n{said}\n\n{table(head, rows)}"


def _measured(promise: Promise) -> str:
    if not promise.values:
        return "no figure"
    if len(promise.values) > 4:
        failing = [value for _, value in promise.values if not promise.meets(value)]
        amounts = sorted(value for _, value in promise.values)
        span = f"{number(amounts[0])} to {number(amounts[-1])}"
        return f"{span}; {len(failing)} of {len(amounts)} miss it"
    shown = (f"{name} {number(value)}".strip() for name, value in promise.values)
    return ", ".join(shown)
