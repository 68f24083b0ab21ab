"""Evaluation inside a run, with the live weights in the run's one engine."""

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from core.config.schema import RunConfig
from core.data.problem import Problem
from core.engines.base import InferenceEngine, Sampling
from core.engines.placement import NO_TRAINING, TrainingNeed
from core.engines.select import check_engine
from core.engines.tokens import token_spans
from core.errors import UserError
from core.evaluation import EvaluationResult, evaluate
from core.models import encode_prompts, load_tokenizer
from core.prompts.template import PromptTemplate
from core.protocol import EvaluationProtocol, GenerationProtocol, GradingProtocol
from core.provenance import data_hash
from core.responses.grade import GRADER_VERSIONS
from trainers.defaults import required
from trainers.distributed.world import World
from trainers.evaluation_facts import EvaluationFacts, facts_of_result
from trainers.live_engine import Apart, LiveEngine
from trainers.policy import Policy
from trainers.stage import Stage

_GENERATION_ROOM = 16


@dataclass(slots=True)
class Evaluator:
    """Evaluates one run's policy.

    Attributes:
        stage: The run: its config, problems, template, and whom it reports to.
        tokenizer: The engine's tokenizer, for lengths in tokens.
        engine: The run's engine.
    """

    stage: Stage
    tokenizer: object
    engine: LiveEngine
    _recorded_as: EvaluationProtocol | None = field(default=None, init=False)

    def evaluate(self, step: int, policy: Policy | None = None) -> EvaluationResult:
        """Evaluate a live policy, or the engine's own weights when there is none, and record it.

        Raises:
            EngineError: the engine cannot start or go on.
        """
        stage, observer = self.stage, self.stage.observer
        self.start()
        live = self.engine.start()
        if policy is not None:
            live = self.engine.with_weights_of(policy, step)
        result = evaluate(
            live,
            stage.prepared.evaluation,
            required(self._recorded_as, "the protocol"),
            stage.prepared.template,
            step=step,
            token_spans=token_spans(self.tokenizer),
            grader_time_limit=stage.config.evaluation.grader_time_limit,
            on_progress=lambda done, total: observer.evaluation_progress(step, done, total),
        )
        self.engine.rest()
        stage.recorder.evaluation(result)
        observer.evaluation(result)
        return result

    def start(self) -> None:
        """Start the engine, unless it runs.

        Raises:
            EngineError: the engine cannot start.
        """
        engine = self.engine.start()
        if self._recorded_as is None:
            self._recorded_as = _protocol(self.stage, engine, sampling_of(self.stage.config))

    def close(self) -> None:
        """Return the engine's memory, if it was ever started."""
        self.engine.close()


def evaluate_together(
    world: World, evaluator: Evaluator | None, step: int, policy: Policy
) -> EvaluationFacts:
    """Let the main process evaluate while the others help to gather the weights, then wait.

    Args:
        world: The processes that train together; all of them call this.
        evaluator: None in all but the main process.
        step: Updates behind the policy.
        policy: What is evaluated.
    """
    if evaluator is not None:
        evaluator.start()
    world.barrier()  # the others can wait long here, but not once the gathering has begun
    if evaluator is None:
        deque(policy.named_weights(), maxlen=0)

    def facts() -> EvaluationFacts:
        return facts_of_result(required(evaluator, "the evaluator").evaluate(step, policy))

    return world.decide(facts)


def build_evaluator(
    stage: Stage,
    *,
    live: bool,
    apart: Apart = nullcontext,
    training: TrainingNeed = NO_TRAINING,
) -> Evaluator:
    """Make sure that the run can be evaluated; the engine starts at its first evaluation.

    It starts here where an evaluation comes first, because an engine can slow down threads that
    are measured before it, and on CUDA, where it must have its memory before training fills it.

    Args:
        stage: The run: its config, problems, template, and whom it reports to.
        live: Weights will come from a policy, so the engine starts without any.
        apart: Surrounds the sampling of rollouts, whose memory is not training's.
        training: What training is going to take of the GPU.

    Raises:
        UserError: a prompt leaves no room for a response.
        EngineError: the engine cannot start, as far as it shows now.
    """
    config, prepared = stage.config, stage.prepared
    stage.observer.phase(f"checking the prompts for the engine {prepared.engine.name}")
    tokenizer = load_tokenizer(prepared.model_dir)
    lengths = _prompt_lengths(tokenizer, prepared.template, prepared.evaluation)
    longest = max(lengths.values()) + sampling_of(config).max_tokens
    if config.kind.samples:
        rollout = _prompt_lengths(tokenizer, prepared.template, prepared.train)
        cap = required(config.rollout.max_tokens, "rollout.max_tokens")
        longest = max(longest, max(rollout.values()) + cap)
    longest += _GENERATION_ROOM
    positions = check_engine(
        prepared.engine,
        prepared.model_dir,
        dtype=config.evaluation.dtype,
        device=prepared.device,
        max_model_len=longest,
    )
    _check_room(lengths, positions, config.evaluation.split)
    evaluator = Evaluator(stage, tokenizer, LiveEngine(stage, longest, live, apart, training))
    evaluates_first = not live or (config.evaluation.at_start and not stage.resuming)
    if evaluates_first or prepared.device != "cpu":
        evaluator.start()
        if not evaluates_first:
            evaluator.engine.rest()
    return evaluator


def _prompt_lengths(
    tokenizer: Any, template: PromptTemplate, problems: Sequence[Problem]
) -> dict[str, int]:
    """Tokens of each problem's prompt, by its id."""
    ids = encode_prompts(tokenizer, [template.prompt(problem) for problem in problems])
    return {problem.id: len(row) for problem, row in zip(problems, ids, strict=True)}


def sampling_of(config: RunConfig) -> Sampling:
    """The decoding settings of a resolved config."""
    settings = config.evaluation
    return Sampling(
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=required(settings.max_tokens, "evaluation.max_tokens"),
        min_tokens=settings.min_tokens,
        stop=required(settings.stop, "evaluation.stop"),
        n=settings.n,
        seed=config.sampling_seed,
    )


def _protocol(stage: Stage, engine: InferenceEngine, sampling: Sampling) -> EvaluationProtocol:
    prepared, settings = stage.prepared, stage.config.evaluation
    grader = required(settings.grader, "evaluation.grader")
    return EvaluationProtocol(
        GenerationProtocol(
            prompt_name=prepared.template.name,
            prompt_text=prepared.template.text,
            data_name=prepared.evaluation_data,
            split=settings.split,
            data_hash=data_hash(prepared.evaluation),
            sampling=sampling,
            engine=engine.name,
            engine_version=engine.version,
            dtype=engine.dtype,
        ),
        GradingProtocol(grader.value, GRADER_VERSIONS[grader]),
    )


def _check_room(lengths: Mapping[str, int], positions: int, split: str) -> None:
    first = max(lengths, key=lambda name: lengths[name])
    if lengths[first] >= positions:
        raise UserError(
            f"the prompt of problem {first} has {lengths[first]:,} tokens, and the model reads at "
            f"most {positions:,}, response included; leave such problems out of the {split} "
            "split, or take a model with a longer context"
        )
