"""The policy's own responses while it learns: asking, sampling, rewarding, and keeping them."""

from trainers.rollouts.examples import example_of
from trainers.rollouts.order import QuestionOrder
from trainers.rollouts.rewards import OVERLONG, reward_parts, total_rewards
from trainers.rollouts.rows import longest_rows
from trainers.rollouts.sampler import RolloutSampler, rollout_seed, sample_together
from trainers.rollouts.store import RolloutStore

__all__ = [
    "OVERLONG",
    "QuestionOrder",
    "RolloutSampler",
    "RolloutStore",
    "example_of",
    "longest_rows",
    "reward_parts",
    "rollout_seed",
    "sample_together",
    "total_rewards",
]
