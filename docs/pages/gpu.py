"""docs/performance.md, middle part: what was measured on a GPU."""

from collections.abc import Mapping
from typing import Any

from docs.pages.markdown import table
from docs.pages.results import Results, number


def gpu_section(found: Results) -> str:
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
    shown = table(("part", "what", "figure", "how"), rows)
    return f"## GPU\n\n{command}\n\n{what}\n\n{shown}"


def _suite_figure(row: Mapping[str, Any]) -> str:
    if row["kind"] != "figure":
        return str(row["text"] or row["kind"])
    value = row["value"] * (100 if row["unit"] == "share" else 1)
    return f"{number(value)} {'%' if row['unit'] == 'share' else row['unit']}".strip()
