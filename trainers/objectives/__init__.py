"""Losses and their pieces: pure functions of tensors, free of models' internals."""

from trainers.objectives.advantages import (
    compute_group_normalized_rewards,
    group_advantages,
    learning_signal,
    zero_advantage_is_idle,
)
from trainers.objectives.pieces import (
    compute_entropy,
    get_response_log_probs,
    k3_divergence,
    masked_mean,
    masked_normalize,
    token_log_probs,
)
from trainers.objectives.policy_gradient import (
    compute_grpo_clip_loss,
    compute_grpo_no_clip_loss,
    compute_naive_policy_gradient_loss,
    compute_policy_gradient_loss,
    grpo_microbatch_train_step,
)
from trainers.objectives.preference import (
    PreferenceTerms,
    per_instance_dpo_loss,
    preference_coefficients,
    preference_losses,
)
from trainers.objectives.sft import SftLoss, sft_loss, sft_microbatch_train_step
from trainers.objectives.token_losses import (
    PolicyGradientLoss,
    WeightedLogProbLoss,
    token_weights,
    truncated_importance,
)

__all__ = [
    "PolicyGradientLoss",
    "PreferenceTerms",
    "SftLoss",
    "WeightedLogProbLoss",
    "compute_entropy",
    "compute_group_normalized_rewards",
    "compute_grpo_clip_loss",
    "compute_grpo_no_clip_loss",
    "compute_naive_policy_gradient_loss",
    "compute_policy_gradient_loss",
    "get_response_log_probs",
    "group_advantages",
    "grpo_microbatch_train_step",
    "k3_divergence",
    "learning_signal",
    "masked_mean",
    "masked_normalize",
    "per_instance_dpo_loss",
    "preference_coefficients",
    "preference_losses",
    "sft_loss",
    "sft_microbatch_train_step",
    "token_log_probs",
    "token_weights",
    "truncated_importance",
    "zero_advantage_is_idle",
]
