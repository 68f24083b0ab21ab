"""Evaluation inside a run: one engine, started once, fed with the live weights each time."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from core.config.schema import RunConfig
from core.data.problem import Problem
from core.engines.base import InferenceEngine, Sampling
from core.engines.select import build_engine
from core.engines.tokens import token_spans
from core.errors import UserError
from core.evaluation import EvaluationResult, evaluate
from core.models import encode_prompt, load_tokenizer
from core.prompts.template import PromptTemplate
from core.protocol import EvaluationProtocol, GenerationProtocol, GradingProtocol
from core.provenance import data_hash
from core.registry.recorder import Recorder
from core.responses.grade import GRADER_VERSIONS
from trainers.defaults import required
from trainers.distributed.world import World
from trainers.observer import Observer
from trainers.policy import Policy
from trainers.prepare import Prepared
from trainers.stage import Stage

_GENERATION_ROOM = 16


@dataclass(slots=True)
class Evaluator:
    """Evaluates one run's policy.

    Attributes:
        engine: Generates; its weights are replaced before each evaluation of a live policy.
        problems: What is asked.
        protocol: How it is asked and graded.
        template: Renders the prompts.
        tokenizer: The engine's tokenizer, for lengths in tokens.
        time_limit: Seconds per symbolic comparison.
    """

    engine: InferenceEngine
    problems: Sequence[Problem]
    protocol: EvaluationProtocol
    template: PromptTemplate
    tokenizer: object
    time_limit: float
    recorder: Recorder
    observer: Observer

    def evaluate(self, step: int, policy: Policy | None = None) -> EvaluationResult:
        """Evaluate a live policy, or the engine's own weights when there is none, and record it."""
        if policy is not None:
            self.observer.phase("copying the policy into the engine")
            self.engine.load_weights(policy.named_weights())
        result = evaluate(
            self.engine,
            self.problems,
            self.protocol,
            self.template,
            step=step,
            token_spans=token_spans(self.tokenizer),
            grader_time_limit=self.time_limit,
            on_progress=lambda done, total: self.observer.evaluation_progress(step, done, total),
        )
        self.recorder.evaluation(result)
        self.observer.evaluation(result)
        return result

    def close(self) -> None:
        """Return the engine's memory."""
        self.engine.close()


def evaluate_together(world: World, evaluator: Evaluator | None, step: int, policy: Policy) -> None:
    """Let the main process evaluate while the others help to gather the weights, then wait.

    Args:
        world: The processes that train together; all of them call this.
        evaluator: None in all but the main process.
        step: Updates behind the policy.
        policy: What is evaluated.
    """
    if evaluator is not None:
        evaluator.evaluate(step, policy)
    else:
        deque(policy.named_weights(), maxlen=0)
    world.barrier()


def build_evaluator(stage: Stage, *, live: bool) -> Evaluator:
    """Start the engine and fix the protocol.

    Args:
        stage: The run: its config, problems, template, and whom it reports to.
        live: Weights will come from a policy, so the engine starts without any.

    Raises:
        UserError: a prompt leaves no room for a response.
    """
    config, prepared = stage.config, stage.prepared
    stage.observer.phase(f"starting the engine {prepared.engine.name}")
    tokenizer = load_tokenizer(prepared.model_dir)
    prompts = {p.id: prepared.template.prompt(p) for p in prepared.evaluation}
    lengths = {name: len(encode_prompt(tokenizer, text)) for name, text in prompts.items()}
    sampling = sampling_of(config)
    build = partial(
        build_engine,
        prepared.engine,
        prepared.model_dir,
        dtype=config.evaluation.dtype,
        device=prepared.device,
        seed=config.sampling_seed,
        max_model_len=max(lengths.values()) + sampling.max_tokens + _GENERATION_ROOM,
        dummy_weights=live,
        gpu_memory_utilization=config.evaluation.gpu_memory_utilization,
    )
    engine = build() if _beside_trainer(prepared) else stage.world.engine(build)
    try:
        _check_room(lengths, engine.max_model_len, config.evaluation.split)
    except UserError:
        engine.close()
        raise
    return Evaluator(
        engine,
        prepared.evaluation,
        _protocol(stage, engine, sampling),
        prepared.template,
        tokenizer,
        config.evaluation.grader_time_limit,
        stage.recorder,
        stage.observer,
    )


def _beside_trainer(prepared: Prepared) -> bool:
    """On the CPU transformers can share any process; vLLM cannot share one that has companions."""
    return prepared.engine.name == "hf" and prepared.device == "cpu"


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
