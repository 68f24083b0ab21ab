"""Setting up direct preference optimization: pairs in tokens, preflight, threads, reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from core.config.schema import TrainSettings
from core.data.pairs import PreferencePair
from trainers.batching import plan_batches
from trainers.defaults import required
from trainers.dpo import DPO
from trainers.evaluator import Evaluator
from trainers.memory import MemoryPlan
from trainers.memory_setup import guard_against_exhaustion
from trainers.observer import Severity
from trainers.out_of_memory import OutOfMemoryGuard
from trainers.pair_batches import PairExample, response_log_probs, responses_of, split_pairs
from trainers.pair_copy import PAIRS_FILE, changed_since, keep_pairs
from trainers.policy import Policy
from trainers.preflight_pairs import PairsInput, as_problems, run_pair_preflight
from trainers.preflight_settled import settle_preflight
from trainers.prepare import select_pairs
from trainers.recipe import first_policy, learning_rate_of, optimizer_of, preflight_input
from trainers.reference import REFERENCE_FILE, reference_key, stored_reference
from trainers.rehearsal import settle_pace
from trainers.stage import Stage
from trainers.token_cache import cached_examples
from trainers.tokenization import Example, SourceText


@dataclass(frozen=True, slots=True)
class DpoRecipe:
    """From a loaded policy to `DPO`.

    Attributes:
        stage: The run.
        policy: What will learn.
    """

    stage: Stage
    policy: Policy

    def examples(self) -> Sequence[Example]:
        """Every response in tokens behind its prompt: chosen and rejected, pair by pair."""
        stage = self.stage
        return encode_pairs(
            stage.prepared.pairs, self.policy.tokenizer, stage.config.train, stage.token_cache
        )

    def preflight(self, examples: Sequence[Example], memory: MemoryPlan) -> None:
        """Check pairs and settings.

        Raises:
            UserError: something is fatal.
        """
        _note_copy(self.stage)
        pairs = self.stage.prepared.pairs
        every = preflight_input(self, as_problems(pairs), examples, memory)
        settle_preflight(self.stage, run_pair_preflight(PairsInput(pairs, every)))

    def method(
        self, examples: Sequence[Example], memory: MemoryPlan, evaluator: Evaluator | None
    ) -> DPO:
        """Choose threads and budget by a rehearsal, find the reference, and build the method."""
        chosen, rejected = examples[::2], examples[1::2]
        pairs = [PairExample(*sides) for sides in zip(chosen, rejected, strict=True)]
        return _dpo(self.stage, self.policy, pairs, memory)


def encode_pairs(
    pairs: Sequence[PreferencePair], tokenizer: Any, settings: TrainSettings, cache: Path
) -> list[Example]:
    """Both responses of every pair; EOS follows as in supervised fine-tuning, unless one was cut.

    EOS behind a response that a token cap has cut would be blamed, or praised, for an end that
    the policy never chose.

    Args:
        pairs: What is learned from.
        tokenizer: The policy's tokenizer.
        settings: EOS and the maximum length.
        cache: Folder of earlier results.
    """
    cut = [was_cut for pair in pairs for was_cut in _truncated(pair)]
    texts = [text for pair in pairs for text in _texts(pair)]
    found: list[Example | None] = [None] * len(texts)
    for with_end in (True, False):
        places = [place for place, was_cut in enumerate(cut) if was_cut is not with_end]
        encoded = cached_examples(
            cache,
            [texts[place] for place in places],
            tokenizer,
            supervise=settings.supervise,
            supervise_eos=settings.supervise_eos and with_end,
            max_length=settings.max_length,
        )
        for place, example in zip(places, encoded, strict=True):
            found[place] = example
    return [required(example, "an encoded response") for example in found]


def _texts(pair: PreferencePair) -> tuple[SourceText, SourceText]:
    return (
        SourceText(pair.id, pair.prompt, pair.chosen),
        SourceText(pair.id, pair.prompt, pair.rejected),
    )


def _truncated(pair: PreferencePair) -> tuple[bool, bool]:
    return pair.chosen_truncated, pair.rejected_truncated


def _note_copy(stage: Stage) -> None:
    """The run's own pairs are what it goes on with: where their file is another now, say so."""
    config, path = stage.config, stage.folder / PAIRS_FILE
    if not stage.resuming:
        stage.recorder.artifact("pairs", path)
        return
    keep_pairs(stage.folder, stage.prepared.pairs)
    stage.recorder.artifact("pairs", path)
    change = changed_since(config.dpo.pairs, lambda: select_pairs(config), stage.run.data_hash)
    if change is not None:
        stage.event(Severity.WARNING, "pairs_changed", change)


def _dpo(stage: Stage, policy: Policy, pairs: Sequence[PairExample], memory: MemoryPlan) -> DPO:
    settings = stage.config.train
    batch_size = required(settings.batch_size, "train.batch_size")
    plan = plan_batches(pairs, settings, batch_size, stage.config.seed)
    guard = guard_against_exhaustion(stage)
    first = responses_of([pairs[index] for index in plan.batch(1)])
    budget = settle_pace(stage, policy, first, memory, guard)
    return DPO(
        policy=policy,
        optimizer=optimizer_of(stage, policy),
        learning_rate=learning_rate_of(stage, plan.total),
        pairs=pairs,
        reference=_reference(stage, policy, pairs, guard, budget),
        plan=plan,
        settings=stage.config.dpo,
        microbatch_tokens=budget,
        guard=guard,
    )


def _reference(
    stage: Stage,
    policy: Policy,
    pairs: Sequence[PairExample],
    guard: OutOfMemoryGuard,
    budget: int,
) -> Tensor:
    """Log-probabilities under the run's first weights, from the run's folder or computed now."""

    def compute() -> Tensor:
        stage.observer.phase("computing the log-probabilities of the reference")
        before = policy
        if stage.resuming:  # the policy may have learned since
            before = first_policy(stage)
            before.run_like(policy)
        found, _ = guard.run(
            before,
            lambda tokens: response_log_probs(before, split_pairs(before, pairs, tokens)),
            step=1,
            budget=budget,
            longest=max(pair.longest for pair in pairs),
        )
        return found

    path = stage.folder / REFERENCE_FILE
    known = reference_key(pairs, stage.run.model_hash, policy.precision.passes)
    reference = stored_reference(path, known, compute)
    stage.recorder.artifact("reference_log_probs", path)
    return reference
