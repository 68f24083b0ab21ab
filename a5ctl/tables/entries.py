"""Runs with the evaluation they are compared by."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from a5ctl.tables.origins import ONE_RUN, Origins
from a5ctl.tables.settings import Settings
from core.protocol import ProtocolDifference, compare_protocols
from core.registry.records import EvaluationRecord, Outcome, RunRecord, RunStatus
from core.registry.store import Registry
from core.responses.numerals import number_of
from core.statistics import clustered_rate, majority_vote, pass_at_k, wilson_interval

FROM = "model.from"
_TOKENS = "tokens_total"


@dataclass(frozen=True, slots=True)
class Sampled:
    """What several samples per problem say.

    Attributes:
        samples: Per problem; the smallest number where they differ.
        pass_at_k: k -> mean unbiased estimate over problems; k is 1 and powers of two.
        majority: Share of problems whose most frequent answer is right.
    """

    samples: int
    pass_at_k: Mapping[int, float]
    majority: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One run with the evaluation it is compared by.

    Attributes:
        settings: Dotted settings, labels left out; `kind` among them.
        accuracy: Under the chosen grader.
        types: Responses of type 1, 2 and 3 under it.
        interval: 95%, clustered by problem where a problem has several samples.
        tokens_trained: Training tokens fed; None for an evaluation.
        seconds: From start to end; None while it runs.
        sampled: None for one sample per problem.
    """

    run: RunRecord
    evaluation: EvaluationRecord
    settings: Settings
    accuracy: float
    types: tuple[int, int, int]
    interval: tuple[float, float]
    tokens_trained: float | None
    seconds: float | None
    sampled: Sampled | None = None

    @property
    def setting(self) -> str:
        """The same text for runs that differ in nothing but their seed."""
        return self.settings.text

    @property
    def reached(self) -> int | None:
        """The step of the evaluation of a run that has not ended; None behind the end.

        Ends of one setting lie at different steps where the data decide how many there are.
        """
        return None if self.run.status is RunStatus.FINISHED else self.evaluation.step


def collect_entries(
    registry: Registry, runs: Sequence[RunRecord], grader: str | None
) -> tuple[list[Entry], dict[str, str]]:
    """Entries of the runs that can be compared, and by run id why the others cannot."""
    uuids = [run.uuid for run in runs]
    newest = registry.last_evaluations(uuids)
    summaries = registry.metric_summaries(uuids, [_TOKENS])
    shown = list(newest.values())
    origins = Origins(registry, runs)
    types = registry.type_counts([e.uuid for e in shown], grader) if grader else {}
    judged = {e.uuid: e for e in judged_by(registry, shown, grader)}
    entries: list[Entry] = []
    left_out: dict[str, str] = {}
    for run in runs:
        found = newest.get(run.uuid)
        if found is None:
            left_out[run.id] = "has no evaluation yet"
            continue
        evaluation = judged[found.uuid]
        if grader is not None and grader not in evaluation.accuracy_by_grader:
            known = ", ".join(evaluation.accuracy_by_grader)
            left_out[run.id] = (
                f"has no accuracy under {grader}, which did not judge all its responses ({known} "
                "did)"
            )
            continue
        tokens = summaries.get(run.uuid, {}).get(_TOKENS)
        counts = types.get(evaluation.uuid)
        trained = tokens.last if tokens else None
        settings = settings_with_origin(run, origins)
        entries.append(_entry(registry, run, evaluation, settings, grader, counts, trained))
    return _parted(entries), left_out


def settings_with_origin(run: RunRecord, origins: Origins) -> Settings:
    """Settings with what a training run started from in place of the one run that it was.

    The evaluation of a run stays with it: it has no seed of its own to tell it from others.
    """
    settings, origin = origins.settings(run), origins.of(run)
    if origin is None or run.kind == "eval":
        return settings
    kept = {k: v for k, v in settings.items() if k not in ONE_RUN}
    return Settings({**kept, FROM: origin})


def _parted(entries: Sequence[Entry]) -> list[Entry]:
    """Runs of one seed that started from several runs of one setting are several settings.

    Otherwise one of them would stand for that seed, and the others would be dropped.
    """
    parents: dict[tuple[str, int | None], set[str | None]] = defaultdict(set)
    for entry in entries:
        parents[(entry.setting, entry.run.seed)].add(entry.run.parent_uuid)
    mixed = {setting for (setting, _), found in parents.items() if len(found) > 1}
    return [
        _named(entry) if FROM in entry.settings and entry.setting in mixed else entry
        for entry in entries
    ]


def _named(entry: Entry) -> Entry:
    parent = entry.run.config.get("model", {}).get("run") or entry.run.parent_uuid
    origin = f"{entry.settings[FROM]}, {parent}"
    return replace(entry, settings=Settings({**entry.settings, FROM: origin}))


def judged_by(
    registry: Registry, evaluations: Sequence[EvaluationRecord], grader: str | None
) -> list[EvaluationRecord]:
    """The evaluations with a chosen grader, and the version that judged, in their protocols.

    Headline graders do not matter where one was chosen for all; the versions of that one do.
    """
    if grader is None:
        return list(evaluations)
    versions = registry.grade_versions([e.uuid for e in evaluations], grader)
    return [
        replace(
            e,
            protocol={**e.protocol, "grader": grader, "grader_version": versions.get(e.uuid)},
        )
        for e in evaluations
    ]


def protocol_differences(a: EvaluationRecord, b: EvaluationRecord) -> ProtocolDifference:
    """How the protocols of two evaluations differ."""
    return compare_protocols(a.protocol, b.protocol)


def by_setting(entries: Sequence[Entry]) -> dict[str, dict[int, Entry]]:
    """Entries by setting and seed; of several with one seed, the newest run."""
    grouped: dict[str, dict[int, Entry]] = defaultdict(dict)
    for entry in sorted(entries, key=lambda e: e.run.created):
        if entry.run.seed is not None:
            grouped[entry.setting][entry.run.seed] = entry
    return dict(grouped)


def _entry(
    registry: Registry,
    run: RunRecord,
    evaluation: EvaluationRecord,
    settings: Settings,
    grader: str | None,
    types: tuple[int, int, int] | None,
    tokens: float | None,
) -> Entry:
    accuracy = evaluation.accuracy if grader is None else evaluation.accuracy_by_grader[grader]
    ended = run.ended if run.ended is not None else run.heartbeat
    several = evaluation.protocol.get("n") != 1
    return Entry(
        run=run,
        evaluation=evaluation,
        settings=settings,
        accuracy=accuracy,
        types=types or (evaluation.type1, evaluation.type2, evaluation.type3),
        interval=accuracy_interval(registry, evaluation, grader, accuracy),
        tokens_trained=tokens,
        seconds=ended - run.started if ended is not None and run.started is not None else None,
        sampled=_sampled(registry, evaluation, grader) if several else None,
    )


def accuracy_interval(
    registry: Registry, evaluation: EvaluationRecord, grader: str | None, accuracy: float
) -> tuple[float, float]:
    """95% interval of an accuracy under a grader; clustered where problems have several samples."""
    if evaluation.protocol.get("n") != 1:
        name = grader or evaluation.grader
        counts = registry.counts_by_problem(evaluation.uuid, Outcome.ACCURACY, name)
        return clustered_rate(list(counts.values())).interval
    if grader is None:
        return evaluation.interval
    return wilson_interval(round(accuracy * evaluation.n), evaluation.n)


def _sampled(
    registry: Registry, evaluation: EvaluationRecord, grader: str | None
) -> Sampled | None:
    asked = registry.sampled_answers(evaluation.uuid, grader or evaluation.grader)
    fewest = min(map(len, asked.values()), default=0)
    if fewest < 2:
        return None
    right = {problem: sum(r for r, _ in samples) for problem, samples in asked.items()}
    wanted = [2**power for power in range(fewest.bit_length())]
    estimates = {
        k: sum(pass_at_k(len(asked[p]), right[p], k) for p in asked) / len(asked) for k in wanted
    }
    won = sum(_majority_is_right(samples) for samples in asked.values())
    return Sampled(fewest, estimates, won / len(asked))


def _majority_is_right(samples: Sequence[tuple[bool, str | None]]) -> bool:
    """Right samples agree with the truth, so with each other; equal numbers agree, too."""
    votes = [_vote(right, text) for right, text in samples]
    return majority_vote(votes) == ("right",)


def _vote(right: bool, text: str | None) -> tuple[object, ...] | None:
    if right:
        return ("right",)
    if text is None:
        return None
    number = number_of(text)
    return ("text", text.strip()) if number is None else ("number", number)
