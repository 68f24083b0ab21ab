"""Writes docs/performance.md from benchmarks/results/, benchmarks/README.md and docs/decisions.md.

    python docs/performance.py

A test fails when the page is not what this gives. It measures nothing: the scripts named on the
page make the results.
"""

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from docs.pages.figures import figures_section  # noqa: E402
from docs.pages.gpu import gpu_section  # noqa: E402
from docs.pages.promises import promises_section  # noqa: E402
from docs.pages.results import Results, results  # noqa: E402

PAGE = FOLDER / "performance.md"
_NOTE = "<!-- Written by docs/performance.py from benchmarks/results/; edit those, not this. -->"


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
        promises_section(found),
        gpu_section(found),
        _machine(found),
        *figures_section(found),
        _tried(),
    ]
    return "\n\n".join(parts) + "\n"


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


if __name__ == "__main__":
    sys.exit(main())
