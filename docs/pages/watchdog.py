"""docs/watchdog.md: rules of the watchdog, and what they were shown on."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docs.pages.markdown import NOTE, table
from docs.pages.results import BENCHMARKS


def watchdog_reference() -> str:
    """All rules of the watchdog, and what a run does about them."""
    from trainers.watchdog import QUIET_STEPS, RULES

    rows = [
        (
            f"`{rule.name}`",
            rule.signal,
            f"{rule.threshold:g}",
            f"{rule.evidence}",
            ", ".join(f"`{name}`" for name in rule.needs),
            rule.severity,
            rule.remedy,
            rule.advice,
        )
        for rule in RULES
    ]
    header = ("rule", "signal", "alarm from", "evidence", "needs", "severity", "remedy", "advice")
    return (
        "\n\n".join(
            [
                f"# Watchdog\n\n{NOTE}",
                _WATCHDOG.format(quiet=QUIET_STEPS),
                table(header, rows),
                _REACTIONS,
                *_watched_runs(),
            ]
        )
        + "\n"
    )


def _watched_runs() -> Iterator[str]:
    """What the rules about rollouts said about runs that fail, and about healthy ones."""
    from trainers.watchdog import RULES

    stored = BENCHMARKS / "results" / "watchdog_rollouts.json"
    parts = json.loads(stored.read_text(encoding="utf-8"))["parts"]
    places = {rule.name: place for place, rule in enumerate(RULES)}
    rows = [
        (f"`{rule}`", part, run["name"], f"{run['seed']}", *_how_soon(found))
        for part, runs in parts.items()
        for run in runs["runs"]
        for rule, found in run["expected"].items()
        if found["visible"] is not None
    ]
    rows.sort(key=lambda row: places[row[0].strip("`")])
    yield _WATCHED
    yield table(("rule", "model", "run", "seed", "seen from update", "told at"), rows)
    healthy = [
        (part, f"{runs['healthy']}", f"{runs['healthy_updates']:,}", f"{told}")
        for part, runs in parts.items()
        if (told := runs["healthy_with_alarms"]) is not None and runs["healthy"]
    ]
    yield _HEALTHY
    yield table(("runs", "healthy", "their updates", "with alarms"), healthy)
    yield _LIMITS


def _how_soon(found: Mapping[str, Any]) -> tuple[str, str]:
    told = "no, within the updates it had" if found["caught"] is None else "not within ten"
    return f"{found['visible']}", told if found["alarm"] is None else f"{found['alarm']}"


_WATCHDOG = """\
Every update and every evaluation after the first update goes through these rules. What a rule \
needs and a method does not record leaves it silent. An alarm is an event of the run (`a5ctl \
show RUN`): its message names the figures, the problems of the worst batch or the responses that \
show it, and what to do; its data holds the figures again, up to five of those responses (their \
last 160 characters), and the first step that is suspect. A rule that goes on being true is told \
once; a rule for updates fires again after {quiet} steps without its signal, one for evaluations \
after an evaluation without it. Rules about rollouts take the first batch as what the run began \
with, because the initial policy has sampled it; responses to one problem count as much alike \
there, so that batches of few problems are looked at longer."""


_REACTIONS = """\
## What a run does about it

`--on-alarm warn` (the default) records and goes on; severity `error` ends the run even so. \
`stop` ends it at the alarm. `rollback` goes back and learns more slowly:

1. It takes the best evaluated checkpoint from before the first suspect step whose own \
evaluation raises no alarm; where none was evaluated, the newest one; where there is none, the \
initial weights. Damaged checkpoints are passed over. `--keep-best`, and what a rollback may \
want, stay on disk beside `--keep-last`.
2. The learning rate is halved from there on. The factor belongs to the saved state, so a run \
that is killed and resumed after a rollback gives bitwise the same numbers.
3. An event `rollback` says from where, to where, and why. The undone steps stay in the registry \
as an older segment, which no table or curve shows. The examples come in the same order as \
before.
4. After `train.max_rollbacks` of them the next alarm stops the run. So does, at once, an alarm \
whose remedy is `stop`: a lower rate would not help it. Remedy `none` is told at the end of a \
run and never stops it."""


_WATCHED = """\
## What the rules about rollouts were shown on

Runs of `a5ctl run grpo` that truly fail: a reward pays for the failure, the rate is 10 or 100 \
times too high, many updates use one batch, or an engine gets no weights after its fourth copy. \
Nothing else of them is made up; cases, options and marks are in `benchmarks/watchdog_cases.py`, \
messages and courses in `benchmarks/results/watchdog_rollouts.json`. A failure is *seen* at the \
first of three updates in a row whose records are beyond a mark well below the rule's threshold: a \
share that moved by 5 or 10 points from the first batch, half of the right answers or of the \
entropy lost, twice the first entropy or engine gap, 0.1 nats of divergence, a tenth of the tokens \
clipped. Its rule has to tell it at most ten updates later. *Built-in model*: from an SFT-128 run, \
batches of 32 to 96 responses in groups of 4; *72 sums*: a model of some thousand parameters that \
learned to add small numbers."""


_HEALTHY = """\
Healthy runs, replayed through the table as it is now. *Experiments* are those of \
`examples/experiments`, by which no rule was settled. The three with alarms take 4 or 16 updates \
from a batch; in each the gradient of single updates truly jumped, to 115 to 388 times its median. \
No rule about rollouts spoke in any of them:"""


_LIMITS = """\
What this does not show:

- Thresholds were settled on the failing runs above, one of each kind on the built-in model, and \
on made-up courses; held out are only the healthy runs named so, replayed after the last \
change, and the experiments. Of the twelve held out, four are Expert Iteration with few batches \
each, one is the cut-off twin of another, three had been used to see how alike siblings are, and \
one of those lost 14 points of format in six updates. No failing run is held out.
- Failures came fast, at high rates. A slow drift is told later, and `format_hacked` is sure of a \
fall from 30% to nothing only once about 24 problems are in a batch: with 8 of them other rules \
have to tell it.
- `template_copied` needed a start whose training data held copies: the built-in model never \
copies its template by itself, and no reward can raise what is never said.
- `engine_gap` tells an engine that stays behind. One missed copy doubled the gap at most, which \
is not told; and where a policy falls apart, bfloat16 alone may widen it threefold, so that it \
spoke in a run whose copies all arrived (second think blocks pay).
- Shares compare with the first batch of the run. What was wrong with the policy before it is the \
business of the evaluation and of `a5ctl diagnose`."""
