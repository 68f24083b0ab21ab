"""Sampling rollouts from the live policy: the same state and numbers give the same responses."""

import hashlib
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.data.problem import Problem
from core.engines.base import Completion, EngineError, Sampling, TokenPrompt
from core.engines.tokens import token_spans
from core.evaluation import grade_completions
from core.models import encode_prompts
from core.rollouts import Rollout, RolloutBatch
from trainers.defaults import required
from trainers.distributed.world import World
from trainers.live_engine import LiveEngine
from trainers.policy import Policy
from trainers.stage import Stage


@dataclass(frozen=True, slots=True)
class RolloutSampler:
    """Samples and grades; a pure function of weights, run seed, batch number and round.

    Attributes:
        stage: The run: its rollout settings, prompt template and seed.
        engine: The run's engine.
        tokenizer: The engine's tokenizer.
    """

    stage: Stage
    engine: LiveEngine
    tokenizer: Any

    def sample(
        self,
        policy: Policy,
        problems: Sequence[Problem],
        *,
        number: int,
        first_step: int,
        per_question: int,
        round: int = 0,
    ) -> RolloutBatch:
        """Ask every problem `per_question` times with the policy's live weights.

        Args:
            policy: What is sampled from.
            problems: What to ask, in order; one that comes again gets further samples.
            number: Of the batch, from 0.
            first_step: The update that first learns from it.
            per_question: Responses to each problem.
            round: 0 for the batch itself; refills of the same batch count on, for other seeds.

        Raises:
            UserError: a prompt does not fit, or a sampling setting is out of range.
            EngineError: the engine cannot start or go on.
        """
        stage, started = self.stage, time.perf_counter()
        with self.engine.apart():
            engine = self.engine.with_weights_of(policy, first_step)
            copied = time.perf_counter()
            prompts = self._prompts(problems)
            groups = engine.generate(
                prompts,
                self.sampling(number, per_question, round),
                lambda done, total: stage.observer.rollout_progress(number, done, total),
            )
            self.engine.rest()
        generated = time.perf_counter()
        rollouts = self._graded(problems, prompts, groups)
        return RolloutBatch(
            number=number,
            first_step=first_step,
            problems=tuple(problems),
            per_question=per_question,
            rollouts=tuple(rollouts),
            generate_seconds=generated - copied,
            grade_seconds=time.perf_counter() - generated,
            sync_seconds=copied - started,
        )

    def sampling(self, number: int, per_question: int, round: int = 0) -> Sampling:
        """The decoding settings of one round of a batch."""
        config, settings = self.stage.config, self.stage.config.rollout
        return Sampling(
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=required(settings.max_tokens, "rollout.max_tokens"),
            min_tokens=settings.min_tokens,
            stop=required(settings.stop, "rollout.stop"),
            n=per_question,
            seed=rollout_seed(config.seed, number, round),
            logprobs=True,
        )

    def _prompts(self, problems: Sequence[Problem]) -> list[TokenPrompt]:
        template = self.stage.prepared.template
        rows = encode_prompts(self.tokenizer, [template.prompt(p) for p in problems])
        return [TokenPrompt(tuple(row)) for row in rows]

    def _graded(
        self,
        problems: Sequence[Problem],
        prompts: Sequence[TokenPrompt],
        groups: Sequence[Sequence[Completion]],
    ) -> list[Rollout]:
        asked, seen = [], Counter[str]()
        for problem, group in zip(problems, groups, strict=True):
            for completion in group:
                asked.append((problem, seen[problem.id], completion))
                seen[problem.id] += 1
        responses = grade_completions(
            asked,
            self.stage.prepared.template,
            token_spans(self.tokenizer),
            self.stage.config.evaluation.grader_time_limit,
        )
        ids = [prompt.ids for prompt, group in zip(prompts, groups, strict=True) for _ in group]
        grader = self.stage.config.rollout.grader
        return [
            Rollout(response, prompt_ids, _log_probs(completion), grader)
            for response, prompt_ids, (_, _, completion) in zip(responses, ids, asked, strict=True)
        ]


def rollout_seed(seed: int, number: int, round: int = 0) -> int:
    """A 63-bit seed that depends on run seed, batch and round, and on nothing else."""
    digest = hashlib.sha256(f"rollouts/{seed}/{number}/{round}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def sample_together(
    world: World,
    sampler: RolloutSampler | None,
    policy: Policy,
    problems: Sequence[Problem],
    *,
    number: int,
    first_step: int,
    per_question: int,
    round: int = 0,
) -> RolloutBatch:
    """Let the main process sample while the others help to gather the weights; all get the batch.

    Args:
        world: The processes that train together; all of them call this.
        sampler: None in all but the main process.
        policy: What is sampled from.
        problems, number, first_step, per_question, round: See `RolloutSampler.sample`.
    """
    if sampler is not None:
        sampler.engine.start()
    world.barrier()  # the others can wait long here, but not once the gathering has begun
    if sampler is None:
        deque(policy.named_weights(), maxlen=0)
    return world.decide(
        lambda: required(sampler, "the sampler").sample(
            policy,
            problems,
            number=number,
            first_step=first_step,
            per_question=per_question,
            round=round,
        )
    )


def _log_probs(completion: Completion) -> tuple[float, ...]:
    found = completion.logprobs
    if found is None or len(found) != len(completion.token_ids):
        raise EngineError("the engine gave no log-probability for every token that it sampled")
    return found
