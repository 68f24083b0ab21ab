"""The evaluation protocol and its two fingerprints: what was generated, and how it was graded.

Two accuracies can be compared when they answer the same questions under the same protocol. Every
evaluation stores both fingerprints with all their fields, so that a difference can be named years
later instead of guessed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.engines.base import Sampling
from core.tree_hash import tree_hash

# A paired test between evaluations that differ in one of these answers no question.
BLOCKING_FIELDS = (
    "prompt_text",
    "data_hash",
    "split",
    "temperature",
    "top_p",
    "max_tokens",
    "min_tokens",
    "stop",
    "n",
    "grader",
    "grader_version",
)

GRADING_FIELDS = ("grader", "grader_version")
NAME_FIELDS = ("prompt_name", "data_name")
"""For people only: they are in no fingerprint."""


@dataclass(frozen=True, slots=True)
class GenerationProtocol:
    """Everything that decides which responses come out.

    Attributes:
        prompt_name: Name or file name of the template, for people.
        prompt_text: The template itself.
        data_name: Name of the data, for people.
        split: Which part of the data was asked.
        data_hash: Hash of the ids, questions and truths that were asked, in order.
        engine: `vllm` or `hf`.
        engine_version: Version of the engine's package.
        dtype: Precision of the forward pass, for example `float32`.
    """

    prompt_name: str
    prompt_text: str
    data_name: str
    split: str
    data_hash: str
    sampling: Sampling
    engine: str
    engine_version: str
    dtype: str

    def fields(self) -> dict[str, Any]:
        """All fields as one flat, JSON-ready dictionary."""
        flat = asdict(self)
        sampling = flat.pop("sampling")
        sampling.pop("logprobs")  # asking for log-probabilities does not change the text
        return {**flat, **sampling, "stop": list(self.sampling.stop)}

    @property
    def fingerprint(self) -> str:
        """16 hex digits over every field that can change a response; names are left out."""
        return fingerprints(self.fields())[0]


@dataclass(frozen=True, slots=True)
class DumpProtocol(GenerationProtocol):
    """What is known about responses that another tool generated: not how they were decoded.

    Attributes:
        tokenizer: Name of the tokenizer that their lengths are counted with.
    """

    tokenizer: str = ""

    def fields(self) -> dict[str, Any]:
        """As for other protocols; what nobody wrote down is None."""
        known = GenerationProtocol.fields(self)
        unknown = ("temperature", "top_p", "max_tokens", "min_tokens", "stop", "seed")
        return {**known, **dict.fromkeys(unknown)}


@dataclass(frozen=True, slots=True)
class GradingProtocol:
    """Which grader gives the headline accuracy, and its version."""

    grader: str
    grader_version: int

    def fields(self) -> dict[str, Any]:
        """All fields as one flat, JSON-ready dictionary."""
        return asdict(self)

    @property
    def fingerprint(self) -> str:
        """16 hex digits over grader and version."""
        return fingerprints(self.fields())[1]


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """Generation and grading together: what an accuracy means."""

    generation: GenerationProtocol
    grading: GradingProtocol

    def fields(self) -> dict[str, Any]:
        """All fields of both halves as one flat dictionary."""
        return {**self.generation.fields(), **self.grading.fields()}


@dataclass(frozen=True, slots=True)
class ProtocolDifference:
    """Fields in which two protocols differ.

    Attributes:
        blocking: Fields that make a paired test meaningless.
        warning: Fields that may move the figures a little (seed, engine, version, dtype, names).
    """

    blocking: tuple[str, ...]
    warning: tuple[str, ...]


def compare_protocols(a: Mapping[str, Any], b: Mapping[str, Any]) -> ProtocolDifference:
    """Name the fields that differ between two flat protocols (`EvaluationProtocol.fields()`)."""
    differing = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
    blocking = tuple(key for key in differing if key in BLOCKING_FIELDS)
    return ProtocolDifference(blocking, tuple(key for key in differing if key not in blocking))


def fingerprints(fields: Mapping[str, Any]) -> tuple[str, str]:
    """Fingerprints of generation and of grading, from flat fields as they are stored."""
    left_out = (*GRADING_FIELDS, *NAME_FIELDS)
    generation = {key: value for key, value in fields.items() if key not in left_out}
    grading = {key: fields[key] for key in GRADING_FIELDS if key in fields}
    return _digest(generation), _digest(grading)


def _digest(fields: Mapping[str, Any]) -> str:
    return tree_hash(fields, 16)
