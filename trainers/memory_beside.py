"""What takes memory beside the policy while it trains: engine, reference policy, rollouts."""

from dataclasses import dataclass

from core.units import mib
from trainers.memory_cuda import Sizes
from trainers.memory_estimate import TrainedModel

# of a response's token: a number each for its id and its log-probability, 4 places in tuples, text
_ROLLOUT_TOKEN = 32 + 24 + 4 * 8 + 4


@dataclass(frozen=True, slots=True)
class Beside:
    """Bytes by what takes them.

    Training and engine work by turns. An engine that stays awake takes the same in both; one that
    sleeps gives its weights and its cache back while training works.

    Attributes:
        engine: The engine of evaluations and rollouts, while training works.
        reference: The policy that a KL term ties to.
        rollouts: The rollouts of one batch, where they are in the same memory.
        engine_awake: The engine in its own turn, when training keeps weights and moments alone;
            as much as in training's when 0.
    """

    engine: int = 0
    reference: int = 0
    rollouts: int = 0
    engine_awake: int = 0

    @property
    def with_training(self) -> int:
        """What is there while training works."""
        return self.engine + self.reference + self.rollouts

    @property
    def with_engine(self) -> int:
        """What is there while the engine works."""
        return max(self.engine, self.engine_awake) + self.reference + self.rollouts

    @property
    def described(self) -> str:
        """All of it in words."""
        parts = [f"the engine takes about {mib(self.engine)}"]
        if self.engine_awake > self.engine:
            parts[0] += f" asleep and {mib(self.engine_awake)} in its own turn"
        if self.reference:
            parts.append(f"the reference policy {mib(self.reference)}")
        if self.rollouts:
            parts.append(f"rollouts at most {mib(self.rollouts)}")
        return ", ".join(parts)


NOTHING_BESIDE = Beside()


def reference_bytes(model: TrainedModel) -> int:
    """What a second policy takes that only reads: weights, and narrower copies of them.

    On CUDA the layers' matrices are kept in the format of products alone (trainers/frozen.py).
    """
    precision = model.precision
    if model.device == "cpu" or not precision.autocast:
        return model.parameters * (precision.weight_bytes + precision.copy_bytes)
    sizes = Sizes.of(model.config)
    narrow = sizes.layers * sizes.layer_matrices
    return narrow * precision.compute_bytes + (model.parameters - narrow) * precision.weight_bytes


def rollout_bytes(responses: int, cap: int) -> int:
    """What a batch of rollouts takes at most.

    Args:
        responses: Of the batch.
        cap: Tokens of a response, at most.
    """
    return responses * cap * _ROLLOUT_TOKEN
