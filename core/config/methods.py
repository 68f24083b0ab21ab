"""Settings of the methods that learn from rollouts or preferences."""

from enum import StrEnum
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from core.config.section import Section
from core.responses.names import GraderName


class LossType(StrEnum):
    """The policy gradient that GRPO follows."""

    NO_BASELINE = "no_baseline"
    REINFORCE_WITH_BASELINE = "reinforce_with_baseline"
    GRPO_CLIP = "grpo_clip"
    GRPO_NO_CLIP = "grpo_no_clip"


class LengthNormalization(StrEnum):
    """What a response's summed loss is divided by."""

    SEQUENCE_MEAN = "sequence_mean"
    CONSTANT = "constant"
    TOKEN_MEAN = "token_mean"


class RewardPart(StrEnum):
    """What a response can be rewarded for."""

    ANSWER = "answer"
    FORMAT = "format"
    LENGTH = "length"
    CLOSED = "closed"


class KeepRollouts(StrEnum):
    """What the registry keeps of a rollout once its batch is used up."""

    ALL = "all"
    TEXT = "text"
    NONE = "none"


class PreferenceLoss(StrEnum):
    """The loss over a pair of responses."""

    SIGMOID = "sigmoid"
    IPO = "ipo"


class RolloutSettings(Section):
    """How the policy's own responses are sampled while it learns."""

    per_question: int = Field(8, ge=1, le=1024)
    """Responses to one question (the group size)."""
    temperature: float = Field(1.0, gt=0)
    """Of the sampling; log-probabilities are taken at the same temperature."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int | None = Field(None, ge=1, le=10**6)
    """Cap on new tokens; that of the evaluation when not given."""
    min_tokens: int = Field(4, ge=0)
    """No end of response before this many new tokens."""
    stop: tuple[str, ...] | None = None
    """Strings that end a response; those of the evaluation when not given."""
    grader: GraderName = GraderName.STRICT
    """Decides what is right and what is formatted while the policy learns."""
    keep: KeepRollouts = KeepRollouts.TEXT
    """What is kept of every rollout: all (token ids and log-probabilities too), text, or none."""


class ExpertIterationSettings(Section):
    """Expert Iteration: sample, keep what is right, fine-tune on it, again."""

    steps: int = Field(5, ge=1, le=10**6)
    """Rounds of sampling and fine-tuning."""
    questions: int = Field(512, ge=1)
    """Questions that are sampled in one round; all of them where there are fewer."""
    max_per_problem: int | None = Field(4, ge=1)
    """Right responses to one problem that are learned from, at most."""
    deduplicate: bool = True
    """Learn from responses with the same text only once."""
    optimizer_reset: bool = False
    """Forget the optimizer's moments between rounds."""


class GrpoSettings(Section):
    """Group-relative policy optimization."""

    steps: int = Field(200, ge=1, le=10**6)
    """Rollout batches of the whole run."""
    rollout_batch: int = Field(256, ge=1)
    """Responses that are sampled at a time."""
    train_batch: int | None = Field(None, ge=1)
    """Responses per update; the whole rollout batch when not given, which is on-policy."""
    epochs_per_rollout: int = Field(1, ge=1, le=1000)
    """Passes over a rollout batch."""
    loss: LossType = LossType.GRPO_CLIP
    """no_baseline, reinforce_with_baseline, grpo_clip or grpo_no_clip."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    """Lower clip range: ratios under 1 - clip_low gain nothing more."""
    clip_high: float = Field(0.2, gt=0)
    """Upper clip range: ratios over 1 + clip_high gain nothing more."""
    std_normalization: bool = True
    """Divide advantages by the standard deviation of their group."""
    advantage_epsilon: float = Field(1e-6, gt=0)
    """Added to that standard deviation."""
    length_normalization: LengthNormalization = LengthNormalization.SEQUENCE_MEAN
    """sequence_mean, constant (Dr. GRPO) or token_mean (DAPO)."""
    normalize_constant: float | None = Field(None, gt=0)
    """The constant of `constant`; the cap on new tokens when not given."""
    kl: float = Field(0.0, ge=0)
    """Weight of the KL divergence from the initial policy; no reference is loaded at 0."""
    dynamic_sampling: bool = False
    """Replace groups that are all right or all wrong by new questions."""
    max_refills: int = Field(3, ge=1, le=100)
    """Times that dynamic sampling asks again before it goes on with what there is."""
    skip_zero_advantage: bool = True
    """Leave out responses whose gradient is known to be 0; the same update in less time."""
    tis_cap: float | None = Field(None, gt=0)
    """Truncated importance weights for the gap between trainer and engine, capped here."""
    overlong_buffer: int | None = Field(None, ge=1)
    """Tokens before the cap over which the reward falls linearly by 1."""
    mask_truncated: bool = False
    """Learn nothing from responses that the cap has cut."""
    reward: dict[RewardPart, float] = Field(default={RewardPart.ANSWER: 1.0})
    """Weights of the parts of the reward: answer, format, length, closed."""

    @field_validator("reward")
    @classmethod
    def _rewards_something(cls, reward: dict[RewardPart, float]) -> dict[RewardPart, float]:
        if not any(reward.values()):
            raise ValueError("every part of the reward has weight 0; give one of them a weight")
        return reward

    @model_validator(mode="after")
    def _batches_fit(self) -> "GrpoSettings":
        train = self.train_batch
        if train is not None and self.rollout_batch % train:
            raise ValueError(
                f"rollout_batch {self.rollout_batch} is not a multiple of train_batch {train}"
            )
        return self

    @property
    def updates_per_rollout(self) -> int:
        """Optimizer updates on one rollout batch."""
        batches = 1 if self.train_batch is None else self.rollout_batch // self.train_batch
        return batches * self.epochs_per_rollout

    @property
    def on_policy(self) -> bool:
        """Every update is made with the policy that sampled its rollouts."""
        return self.updates_per_rollout == 1


class DpoSettings(Section):
    """Direct preference optimization."""

    pairs: Path | None = None
    """File of pairs, one JSON object a line: prompt, chosen, rejected."""
    beta: float = Field(0.1, gt=0)
    """Strength of the tie to the reference policy; 1 for the built-in model where none is given."""
    loss: PreferenceLoss = PreferenceLoss.SIGMOID
    """sigmoid or ipo."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Share of pairs that is taken to be labelled the wrong way round."""
