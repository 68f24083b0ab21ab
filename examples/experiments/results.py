"""Writes docs/results.md, and the table of this folder's README, from what was recorded.

    python examples/experiments/results.py

Titles and questions come from each experiment's README, figures from its outcome.txt. A test fails
when the files are not what this writes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parents[1] / "docs" / "results.md"
INDEX = FOLDER / "README.md"
ORDER = (
    "baseline",
    "sft_sizes",
    "size_table",
    "abc_plan",
    "filtered_sft",
    "ei_sweep",
    "grpo_learning_rate",
    "grpo_baselines",
    "grpo_length_normalization",
    "grpo_std_normalization",
    "grpo_off_policy",
    "grpo_clip",
    "grpo_prompt",
)

_BEGIN, _END = "<!-- table: results.py -->", "<!-- end of table -->"
_INTRODUCTION = """# Results of the standard experiments

<!-- Written by examples/experiments/results.py from the outcomes on record; edit neither here. -->

What the small variants in `examples/experiments/` reported: the built-in model and data, the 1,024
problems of the test split, greedy, one seed unless a table shows several. One seed of a small
budget tells little: read the intervals, and what each table says about the differences that it can
tell from noise. No variant for Qwen2.5-Math-1.5B has been run for this page."""
_NOT_YET = "not recorded"
_SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class Experiment:
    """One folder.

    Attributes:
        name: Of the folder.
        title: Headline of its README.
        question: First paragraph of its README.
        outcome: What its small variant reported; empty before it was run.
    """

    name: str
    title: str
    question: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a comparison: what sets it apart, and its accuracy as printed."""

    setting: str
    accuracy: str


def documents() -> dict[Path, str]:
    """Both files with the text they should hold."""
    experiments = [read_experiment(FOLDER / name) for name in ORDER]
    sections = "\n\n".join(section(experiment) for experiment in experiments)
    before, _, rest = INDEX.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return {
        RESULTS: f"{_INTRODUCTION}\n\n{sections}\n",
        INDEX: f"{before}{_BEGIN}\n{index(experiments)}\n{_END}{after}",
    }


def read_experiment(folder: Path) -> Experiment:
    """The README's words and the outcome's figures."""
    paragraphs = (folder / "README.md").read_text(encoding="utf-8").split("\n\n")
    outcome = folder / "outcome.txt"
    return Experiment(
        name=folder.name,
        title=paragraphs[0].removeprefix("# ").strip(),
        question=" ".join(paragraphs[1].split()),
        outcome=outcome.read_text(encoding="utf-8").strip() if outcome.is_file() else "",
    )


def section(experiment: Experiment) -> str:
    """The experiment in docs/results.md."""
    link = f"[how it is run](../examples/experiments/{experiment.name}/README.md)"
    head = f"## {experiment.title}\n\n{experiment.question} ({link})"
    body = f"```text\n{experiment.outcome}\n```" if experiment.outcome else f"{_NOT_YET}."
    return f"{head}\n\n{body}"


def index(experiments: Sequence[Experiment]) -> str:
    """The table of the README."""
    lines = ["| experiment | question | what came out |", "| --- | --- | --- |"]
    for each in experiments:
        lines.append(
            f"| [`{each.name}`]({each.name}/README.md) | {each.question} | "
            f"{figures(each.outcome) or _NOT_YET} |"
        )
    return "\n".join(lines)


def figures(outcome: str) -> str:
    """The accuracies of an outcome's comparisons and the verdicts of its plan, on a line."""
    parts = []
    for command, text in reports(outcome):
        rows = list(comparison_rows(text))
        if rows:
            group = re.search(r"--group (\S+)", command)
            parts.append((f"{group[1]}: " if group else "") + listed(rows))
        if line := re.search(r"--lineage (\S+)", command):
            parts.append(f"{line[1]}: {' to '.join(stage_accuracies(text))}")
        parts += re.findall(r"^\d+ met, \d+ not met, \d+ cannot tell$", text, flags=re.MULTILINE)
    return "; ".join(parts)


def reports(outcome: str) -> Iterator[tuple[str, str]]:
    """Every command with what it said."""
    for part in re.split(r"^\$ ", outcome, flags=re.MULTILINE):
        command, _, text = part.partition("\n")
        if command:
            yield command, text


def comparison_rows(text: str) -> Iterator[Row]:
    """Rows of a table by `a5ctl compare`, best first; nothing of other texts.

    Up to the accuracy no cell is empty, so that two blanks part the cells there.
    """
    titles: list[str] = []
    for line in text.splitlines():
        cells = re.split(r" {2,}", line.replace("★ ", "").strip())
        if cells[0] == "run" and "accuracy" in cells:
            titles = cells[: cells.index("accuracy") + 1]
        elif titles and len(cells) >= len(titles) and is_share(cells[len(titles) - 1]):
            settings = zip(titles[1:-1], cells[1:], strict=False)
            setting = ", ".join(f"{title} {cell}" for title, cell in settings)
            yield Row(setting, cells[len(titles) - 1])


def stage_accuracies(text: str) -> list[str]:
    """What `a5ctl compare --lineage` says of every stage that was measured."""
    found = (re.search(r" (\d+\.\d%)", line) for line in text.splitlines())
    return [match[1] for match in found if match]


def is_share(cell: str) -> bool:
    """Whether it reads like 46.1%."""
    return re.fullmatch(r"\d+\.\d%", cell) is not None


def listed(rows: Sequence[Row]) -> str:
    """All rows, or the two ends of a long table."""
    if len(rows) > _SHOWN_ROWS:
        return f"{shown(rows[0])} down to {shown(rows[-1])}"
    return ", ".join(map(shown, rows))


def shown(row: Row) -> str:
    """An accuracy and what belongs to it."""
    return f"{row.accuracy} ({row.setting})" if row.setting else row.accuracy


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
