"""What an inference engine is: sampling settings in, completions out, live weights copied in."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class FinishReason(StrEnum):
    """Why a response ended. EOS and a stop string are told apart; they mean different failures."""

    STOP_STRING = "stop_string"
    EOS = "eos"
    LENGTH = "length"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Decoding settings of one generation.

    Attributes:
        temperature: 0 means greedy.
        top_p: Nucleus mass in (0, 1].
        max_tokens: Cap on new tokens per completion, stop tokens included.
        min_tokens: EOS and stop strings are not honoured before this many new tokens.
        stop: Strings that end a completion; they stay in the text.
        n: Completions per prompt.
        seed: Each request gets its own seed, derived from this one, its prompt index and sample.
        logprobs: Also return the log-probability of every sampled token (nats, at `temperature`).
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    min_tokens: int = 0
    stop: tuple[str, ...] = ("</answer>",)
    n: int = 1
    seed: int = 0
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """A prompt as token ids: for texts that are continued, and for requests that are repeated.

    Attributes:
        ids: The prompt in tokens, without special ones.
        index: Whose random numbers it gets: those of the prompt with this index; of its own when
            None.
        sample: Whose random numbers its first completion gets, among those of that prompt.
    """

    ids: tuple[int, ...]
    index: int | None = None
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated response.

    Attributes:
        text: The response with its stop string, without special tokens.
        token_ids: Sampled ids, stop tokens and EOS included.
        finish: Why it ended.
        logprobs: Log-probability of each sampled id in nats, same length as `token_ids`.
    """

    text: str
    token_ids: tuple[int, ...]
    finish: FinishReason
    logprobs: tuple[float, ...] | None = None


GenerationProgress = Callable[[int, int], None]
"""Called with (responses finished, responses in all)."""


class InferenceEngine(Protocol):
    """A text generator that can take over the weights of the policy being trained.

    At most one engine lives in a process at a time.

    Attributes:
        name: `vllm` or `hf`.
        version: Of the package that generates.
        dtype: Precision of the forward pass, for example `float32`.
        max_model_len: Tokens of prompt and response together, at most.
        weight_path: How weights come to it, to be read behind "weights are copied".
    """

    name: str
    version: str
    dtype: str
    max_model_len: int
    weight_path: str

    def generate(
        self,
        prompts: Sequence[str | TokenPrompt],
        sampling: Sampling,
        on_progress: GenerationProgress | None = None,
    ) -> list[list[Completion]]:
        """Complete every prompt `sampling.n` times; outer order is that of `prompts`."""
        ...

    def load_weights(self, weights: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        """Replace all weights by named tensors (names as in `model.state_dict()`); wakes it up.

        Raises:
            EngineError: names or shapes do not match; the engine must then be thrown away.
        """
        ...

    def sleep(self) -> None:
        """Give GPU memory to others until the next `load_weights`; the weights are gone.

        An engine that was not started to sleep, or that is on the CPU, stays as it is. Doing it
        twice is harmless.
        """
        ...

    def close(self) -> None:
        """Return the memory. The engine cannot be used afterwards; closing twice is harmless."""
        ...


class EngineError(RuntimeError):
    """The engine cannot go on, or would go on with wrong weights."""
