"""What takes memory beside the policy while it trains: engine, reference policy, rollouts."""

from dataclasses import dataclass

_MIB = 2**20
_FLOAT32 = 4
# of a response's token: a number each for its id and its log-probability, 4 places in tuples, text
_ROLLOUT_TOKEN = 32 + 24 + 4 * 8 + 4


@dataclass(frozen=True, slots=True)
class Beside:
    """Bytes by what takes them.

    Attributes:
        engine: The engine of evaluations and rollouts: its weights and its cache.
        reference: The policy that a KL term ties to.
        rollouts: The rollouts of one batch, where they are in the same memory.
    """

    engine: int = 0
    reference: int = 0
    rollouts: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.engine + self.reference + self.rollouts

    @property
    def described(self) -> str:
        """All of it in words."""
        parts = [f"the engine takes about {_mib(self.engine)}"]
        if self.reference:
            parts.append(f"the reference policy {_mib(self.reference)}")
        if self.rollouts:
            parts.append(f"rollouts at most {_mib(self.rollouts)}")
        return ", ".join(parts)


NOTHING_BESIDE = Beside()


def reference_bytes(parameters: int, *, bfloat16: bool) -> int:
    """What a second policy takes that only reads: weights, and copies of them in bfloat16."""
    return parameters * (_FLOAT32 + _FLOAT32 // 2 * bfloat16)


def rollout_bytes(responses: int, cap: int) -> int:
    """What a batch of rollouts takes at most.

    Args:
        responses: Of the batch.
        cap: Tokens of a response, at most.
    """
    return responses * cap * _ROLLOUT_TOKEN


def _mib(count: float) -> str:
    return f"{count / _MIB:,.0f} MiB"
