"""How long `a5ctl diagnose` takes on a long run, as whole processes.

    python benchmarks/diagnose.py --evaluations 23 --problems 1319 --repeat 7

Records one run of that size in a temporary registry (ordinary responses, graded by the project),
then times the views in rounds (A B C, A B C, ...) beside `python -c pass`, and writes medians to
benchmarks/results/diagnose.json.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cli_latency import seconds  # noqa: E402
from benchmarks.ordinary import ordinary_responses, read_solved  # noqa: E402
from benchmarks.timing import rounds, write  # noqa: E402
from core.evaluation import EvaluationResult  # noqa: E402
from tests.a5ctl import handmade  # noqa: E402

RUN = "sft-full"
VIEWS = {
    "python -c pass": ["-c", "pass"],
    "a5ctl --help": ["-m", "a5ctl", "--help"],
    "diagnose": ["-m", "a5ctl", "diagnose", RUN],
    "diagnose --json": ["-m", "a5ctl", "diagnose", RUN, "--json"],
    "diagnose --by step": ["-m", "a5ctl", "diagnose", RUN, "--by", "step"],
    "diagnose --by problem": ["-m", "a5ctl", "diagnose", RUN, "--by", "problem"],
}


def evaluations(data: Path, count: int, problems: int) -> list[EvaluationResult]:
    """Evaluations of one run: the texts are ordinary ones, no two evaluations have the same."""
    solved = read_solved([data])[:problems]
    found = []
    for step in range(count):
        made = [one.item for one in ordinary_responses(solved, len(solved), seed=step)]
        answers = [(item.text, item.finish) for item in made]
        truths = [item.truth for item in made]
        found.append(handmade.evaluation(answers, step=10 * step, truths=truths))
    return found


def main() -> None:
    """Measure, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/gsm8k/test.jsonl")
    parser.add_argument("--evaluations", type=int, default=23)
    parser.add_argument("--problems", type=int, default=1319)
    parser.add_argument("--repeat", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        recorded = evaluations(given.data, given.evaluations, given.problems)
        handmade.record(home, RUN, recorded)
        views = {name: partial(seconds, args, home) for name, args in VIEWS.items()}
        figures = rounds(views, given.repeat)
    for name, figure in figures.items():
        print(f"{name:22} median {figure['median']:.3f} s   min {figure['min']:.3f} s")
    settings = {"evaluations": given.evaluations, "problems": given.problems}
    write("diagnose", {**settings, "repeat": given.repeat, "seconds": figures})


if __name__ == "__main__":
    main()
