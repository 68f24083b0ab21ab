"""What a probe asks."""

from enum import StrEnum


class ProbeKind(StrEnum):
    """The kinds of probes."""

    MAX_TOKENS = "max_tokens"
    """What becomes of capped responses under a larger cap?"""
    CLOSE = "close"
    """What is the answer of responses that have none, once it is asked for?"""
