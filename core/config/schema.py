"""The tree of settings of one run. The docstring under a field is its help text."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from core.config.methods import (
    DpoSettings,
    ExpertIterationSettings,
    GrpoSettings,
    RolloutSettings,
)
from core.config.section import Section
from core.responses.names import GraderName

_LARGEST_SEED = 2**63 - 1  # what torch, SQLite and vLLM all take


class RunKind(StrEnum):
    """What a run does."""

    SFT = "sft"
    EI = "ei"
    GRPO = "grpo"
    DPO = "dpo"
    EVAL = "eval"

    @property
    def trains(self) -> bool:
        """Changes a policy."""
        return self is not RunKind.EVAL

    @property
    def samples(self) -> bool:
        """Learns from the policy's own responses."""
        return self in (RunKind.EI, RunKind.GRPO)

    @property
    def sections(self) -> frozenset[str]:
        """The groups of settings that only some kinds have, and this one has."""
        return _SECTIONS.get(self, frozenset())


_SECTIONS = {
    RunKind.EI: frozenset({"rollout", "ei"}),
    RunKind.GRPO: frozenset({"rollout", "grpo"}),
    RunKind.DPO: frozenset({"dpo"}),
}
OPTIONAL_SECTIONS = frozenset({"rollout", "ei", "grpo", "dpo"})
"""Groups of settings that belong to some kinds of runs only."""


class Supervise(StrEnum):
    """Which part of the response is trained on."""

    RESPONSE = "response"
    CLOSING = "closing"
    ANSWER = "answer"


class Schedule(StrEnum):
    """Shape of the learning rate after warm-up."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"


class Normalization(StrEnum):
    """What the summed loss of an optimizer step is divided by."""

    TOKENS = "tokens"
    SEQUENCE_SUM = "sequence_sum"


class ActivationCheckpointing(StrEnum):
    """Whether layers compute their activations again instead of keeping them."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Attention(StrEnum):
    """What computes attention while training."""

    AUTO = "auto"
    FLASH = "flash"
    VARLEN = "varlen"
    SDPA = "sdpa"


class Compile(StrEnum):
    """Whether decoder layers are compiled while training."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class OnAlarm(StrEnum):
    """What a run does when its watchdog raises an alarm."""

    WARN = "warn"
    STOP = "stop"
    ROLLBACK = "rollback"


class ModelSettings(Section):
    """Which weights a run starts from, and where it works."""

    source: str = Field("builtin", min_length=1)
    """`builtin`, a folder with safetensors and a tokenizer, or a hub id: Qwen/Qwen2.5-Math-1.5B."""
    run: str | None = None
    """Start from a checkpoint of this run instead (id of the run)."""
    run_step: int | None = Field(None, ge=0)
    """Which checkpoint of that run; when not given, as run_choice says, and filled in."""
    run_choice: Literal["last", "best"] | None = None
    """The last checkpoint, or of those kept the one with the best recorded accuracy."""
    selected_on: tuple[str, ...] | None = None
    """Splits whose accuracies chose these weights or some they descend from; filled in."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes CUDA when there is one."""


class DataSettings(Section):
    """Which problems a run sees."""

    source: str = Field("builtin", min_length=1)
    """`builtin`, `gsm8k`, a hub id, a folder or a file; docs/data.md says what they may hold."""
    evaluation_source: str | None = None
    """Other data to evaluate on; the data's own test split when not given."""
    size: int | None = Field(None, ge=1)
    """Training problems to use; all of them when not given. Sizes nest for one data seed."""
    seed: int | None = Field(None, ge=0, le=_LARGEST_SEED)
    """Seed of the subset; the run's seed when not given."""
    filter: Literal["none", "correct", "solved-by"] = "none"
    """Keep all examples, those whose own target grades right, or those that a run has solved."""
    solved_by: str | None = None
    """The run whose right responses decide, for the filter solved-by."""
    held_out: bool | None = None
    """Ask only the part of a single file that training leaves out; a run that only evaluates asks
    the whole file when not given."""
    evaluation_hash: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Refuse to start unless the problems to evaluate on have this hash."""

    @model_validator(mode="after")
    def _solved_by_names_a_run(self) -> "DataSettings":
        if (self.filter == "solved-by") != (self.solved_by is not None):
            raise ValueError("filter 'solved-by' and solved_by belong together; give both or none")
        return self


class PromptSettings(Section):
    """How a question becomes a prompt."""

    template: str = Field("think_answer", min_length=1)
    """`think_answer`, `question_only`, `instruction`, `multiple_choice`, or the path of a template
    file."""
    text: str | None = None
    """The template itself; then `template` is only its name."""
    chat: bool = False
    """Put the prompt into the tokenizer's chat template, for models trained on conversations."""


class TrainSettings(Section):
    """How the policy learns. Exactly one of epochs, steps and tokens is the budget."""

    lr: float | None = Field(None, gt=0)
    """Peak learning rate; 2e-5 for sft, 1e-5 for ei and grpo, 1e-6 for dpo when not given. The
    built-in model has measured ones."""
    schedule: Schedule = Schedule.COSINE
    """Shape of the learning rate after warm-up."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps over which the learning rate rises linearly."""
    min_lr_ratio: float = Field(0.1, ge=0, le=1)
    """Learning rate at the end, as a share of the peak."""
    epochs: float | None = Field(None, gt=0, le=1e6)
    """Budget in passes over the training examples."""
    steps: int | None = Field(None, ge=1, le=10**9)
    """Budget in optimizer updates."""
    tokens: int | None = Field(None, ge=1)
    """Budget in training tokens (prompt and response, no padding); makes sizes comparable."""
    batch_size: int | None = Field(None, ge=1)
    """Examples per optimizer update; 16 for the built-in model, else 32."""
    microbatch_tokens: int | None = Field(None, ge=1)
    """Token positions per forward pass; how a batch is split never changes the loss."""
    activation_checkpointing: ActivationCheckpointing = ActivationCheckpointing.AUTO
    """Compute activations again in the backward pass; auto does it where memory asks for it."""
    max_length: int = Field(1024, ge=8)
    """Longest example in tokens; longer ones are cut at the end and reported by preflight."""
    supervise: Supervise = Supervise.RESPONSE
    """Train on the whole response, from </think> on, or from <answer> on."""
    supervise_eos: bool = True
    """Append the end-of-sequence token to every target and train on it."""
    normalization: Normalization = Normalization.TOKENS
    """Divide by the supervised tokens of the step, or sum per sequence and divide by a constant."""
    normalize_constant: float = Field(1.0, gt=0)
    """The constant of sequence_sum."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay on matrices; vectors are never decayed."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """First moment decay of AdamW."""
    beta2: float = Field(0.95, ge=0, lt=1)
    """Second moment decay of AdamW."""
    epsilon: float = Field(1e-8, gt=0)
    """Added to the denominator of AdamW."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest global gradient norm; larger gradients are scaled down."""
    checkpoint_every: int | None = Field(None, ge=1)
    """Steps between checkpoints; an eighth of the run when not given. The last step has one."""
    keep_last: int = Field(2, ge=1)
    """Checkpoints to keep, newest first."""
    keep_best: int = Field(1, ge=0)
    """Checkpoints to keep beside them: those with the best accuracy in this run."""
    on_alarm: OnAlarm = OnAlarm.WARN
    """Record an alarm and go on, stop there, or go back to the best checkpoint and halve the
    learning rate. Values that are not finite stop a run that only warns, too."""
    max_rollbacks: int = Field(3, ge=0, le=100)
    """Rollbacks of one run; the next alarm stops it."""
    precision: Literal["auto", "float32", "mixed", "stochastic", "bfloat16"] = "auto"
    """All in float32; `mixed`: products in bfloat16, weights, gradients and moments in float32;
    `stochastic`: all in bfloat16, updates rounded at random; `bfloat16`: the same, rounded to the
    nearest. auto is mixed on CUDA and on CPUs that multiply bfloat16 natively, else float32."""
    attention: Attention = Attention.AUTO
    """flash-attn, torch's own variable-length kernel, or torch's usual one for each example; auto
    takes the first of them that works here. The first two need CUDA and half precision."""
    compile: Compile = Compile.AUTO
    """Compile the layers of the model; auto does it on CUDA where the run is long enough to gain
    more than compiling takes."""
    gpus: int = Field(1, ge=1, le=1024)
    """GPUs of this machine that train together, a process on each; on device cpu, processes."""
    threads: int | None = Field(None, ge=1, le=1024)
    """CPU threads of a process; measured at the start when not given, and kept on resume."""

    @model_validator(mode="after")
    def _one_budget(self) -> "TrainSettings":
        given = [name for name in ("epochs", "steps", "tokens") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both budgets; give only one of them")
        return self


class EvaluationSettings(Section):
    """How a policy is measured."""

    every: int | None = Field(None, ge=1)
    """Also evaluate every so many steps; both ends are always evaluated unless switched off."""
    at_start: bool = True
    """Evaluate before the first update."""
    split: Literal["test", "test-hard", "dev", "val", "train"] = "test"
    """Which part of the data is asked."""
    limit: int | None = Field(None, ge=1)
    """Ask only the first so many problems; all of them when not given."""
    grader: GraderName | None = None
    """Decides the headline accuracy; every grader's verdict is stored. multiple_choice where
    options are asked for, r1_zero for prompts that open a think block, else question_only."""
    engine: Literal["auto", "vllm", "hf"] = "auto"
    """Text generator: vLLM where it is installed, else transformers."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of generation; auto is float32 on CPU and bfloat16 on CUDA."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int | None = Field(None, ge=1, le=10**6)
    """Cap on new tokens; 256 for the built-in model, else 1024."""
    min_tokens: int = Field(0, ge=0)
    """No end of response before this many new tokens."""
    stop: tuple[str, ...] | None = None
    """Strings that end a response; they stay in the text. </answer> for prompts that open a think
    block, else none."""
    n: int = Field(1, ge=1, le=4096)
    """Samples per problem."""
    seed: int | None = Field(None, ge=0, le=_LARGEST_SEED)
    """Seed of the sampling; the run's seed when not given. Greedy decoding has none."""
    grader_time_limit: float = Field(2.0, gt=0)
    """Seconds that one symbolic comparison may take."""
    placement: Literal["auto", "shared", "apart"] = "auto"
    """GPU of the engine: training's (shared), another (apart), or another one that is free."""
    gpu_memory_utilization: float | None = Field(None, gt=0, lt=1)
    """Share of the whole GPU's memory for vLLM; reckoned from what it has to do if not given."""


class RunConfig(Section):
    """One run, completely: the same file makes the same run again."""

    kind: RunKind = RunKind.SFT
    """How the policy learns: `sft`, `ei`, `grpo` or `dpo`; `eval` only evaluates."""
    name: str | None = Field(None, min_length=1, max_length=120)
    """A name for people; ids are made by the registry."""
    group: str | None = Field(None, min_length=1, max_length=120)
    """Runs that belong together, such as the cells of a matrix."""
    tags: tuple[str, ...] = ()
    """Free labels."""
    note: str = ""
    """Free text."""
    seed: int = Field(0, ge=0, le=_LARGEST_SEED)
    """Moves everything random: subset, order, sampling."""
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    prompt: PromptSettings = PromptSettings()
    train: TrainSettings = TrainSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    rollout: RolloutSettings = RolloutSettings()
    ei: ExpertIterationSettings = ExpertIterationSettings()
    grpo: GrpoSettings = GrpoSettings()
    dpo: DpoSettings = DpoSettings()

    @model_validator(mode="after")
    def _sections_fit_the_kind(self) -> "RunConfig":
        for name in sorted(OPTIONAL_SECTIONS - self.kind.sections):
            given = getattr(self, name).model_fields_set
            if given:
                setting = f"{name}.{min(given)}"
                raise ValueError(f"{setting} does not belong to a run of kind {self.kind}")
        return self

    @property
    def data_seed(self) -> int:
        """Seed of the training subset."""
        return self.seed if self.data.seed is None else self.data.seed

    @property
    def sampling_seed(self) -> int:
        """Seed of the evaluations' sampling; always 0 for greedy decoding, which uses none."""
        if self.evaluation.temperature == 0:
            return 0
        return self.seed if self.evaluation.seed is None else self.evaluation.seed
