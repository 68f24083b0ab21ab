"""Evaluation inside a run: one engine, started once, fed with the live weights each time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config.schema import RunConfig
from core.data.problem import Problem
from core.engines.base import InferenceEngine, Sampling
from core.engines.select import EngineChoice, build_engine
from core.engines.tokens import token_spans
from core.errors import UserError
from core.evaluation import EvaluationResult, evaluate
from core.models import encode_prompt, load_tokenizer
from core.prompts.template import PromptTemplate
from core.protocol import EvaluationProtocol, GenerationProtocol, GradingProtocol
from core.provenance import data_hash
from core.registry.recorder import Recorder
from core.responses.grade import GRADER_VERSIONS, GraderName
from trainers.observer import Observer
from trainers.policy import Policy

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


def build_evaluator(
    config: RunConfig,
    choice: EngineChoice,
    model_dir: Path,
    problems: Sequence[Problem],
    template: PromptTemplate,
    *,
    data_name: str,
    device: str,
    live: bool,
    recorder: Recorder,
    observer: Observer,
) -> Evaluator:
    """Start the engine and fix the protocol.

    Args:
        config: The resolved config.
        choice: Which engine, as decided before the run was created.
        model_dir: Architecture, tokenizer and, unless `live`, the weights.
        problems: What will be asked.
        template: Renders the prompts.
        data_name: For the protocol.
        device: `cpu` or `cuda`.
        live: Weights come from a policy, so the engine starts with dummies.
        recorder: Where results go.
        observer: Who watches.

    Raises:
        UserError: a prompt leaves no room for a response.
    """
    settings = config.evaluation
    tokenizer = load_tokenizer(model_dir)
    lengths = {p.id: len(encode_prompt(tokenizer, template.prompt(p))) for p in problems}
    longest = max(lengths.values())
    cap = settings.max_tokens or 0
    engine = build_engine(
        choice,
        model_dir,
        dtype=evaluation_dtype(config, device),
        device=device,
        seed=config.sampling_seed,
        max_model_len=longest + cap + _GENERATION_ROOM,
        dummy_weights=live,
        gpu_memory_utilization=settings.gpu_memory_utilization,
    )
    if longest >= engine.max_model_len:
        engine.close()
        first = next(name for name, length in lengths.items() if length == longest)
        raise UserError(
            f"the prompt of problem {first} has {longest:,} tokens, and the model reads at most "
            f"{engine.max_model_len:,}, response included; leave such problems out of the "
            f"{settings.split} split, or take a model with a longer context"
        )
    grader = settings.grader or GraderName.R1_ZERO
    protocol = EvaluationProtocol(
        GenerationProtocol(
            prompt_name=template.name,
            prompt_text=template.text,
            data_name=data_name,
            split=settings.split,
            data_hash=data_hash(problems),
            sampling=sampling_of(config),
            engine=engine.name,
            engine_version=engine.version,
            dtype=engine.dtype,
        ),
        GradingProtocol(grader.value, GRADER_VERSIONS[grader]),
    )
    return Evaluator(
        engine,
        problems,
        protocol,
        template,
        tokenizer,
        settings.grader_time_limit,
        recorder,
        observer,
    )


def sampling_of(config: RunConfig) -> Sampling:
    """The decoding settings of a resolved config."""
    settings = config.evaluation
    return Sampling(
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens or 0,
        min_tokens=settings.min_tokens,
        stop=settings.stop or (),
        n=settings.n,
        seed=config.sampling_seed,
    )


def evaluation_dtype(config: RunConfig, device: str) -> str:
    """Precision of generation: what was asked for, else float32 on CPU and bfloat16 on CUDA."""
    if config.evaluation.dtype != "auto":
        return config.evaluation.dtype
    return "bfloat16" if device == "cuda" else "float32"
