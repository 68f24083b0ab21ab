"""An engine that says what a test wants, with a real tokenizer and no model."""

from collections.abc import Callable, Sequence
from typing import Any

from core.engines.base import (
    Completion,
    FinishReason,
    GenerationProgress,
    Sampling,
    TokenPrompt,
)

Script = Callable[[str], tuple[str, FinishReason]]


class ScriptedEngine:
    """Answers prompts by a function of their text; the cap and the stop string hold.

    Attributes:
        asked: Every prompt so far, as text, with the settings.
    """

    name = "hf"
    version = "1"
    dtype = "float32"
    max_model_len = 1024

    def __init__(self, tokenizer: Any, script: Script) -> None:
        self.asked: list[tuple[str, Sampling]] = []
        self._tokenizer = tokenizer
        self._script = script

    def generate(
        self,
        prompts: Sequence[str | TokenPrompt],
        sampling: Sampling,
        on_progress: GenerationProgress | None = None,
    ) -> list[list[Completion]]:
        found = []
        for number, prompt in enumerate(prompts, 1):
            text = prompt if isinstance(prompt, str) else self._tokenizer.decode(prompt.ids)
            self.asked.append((text, sampling))
            found.append([self._complete(text, sampling)])
            if on_progress is not None:
                on_progress(number, len(prompts))
        return found

    def load_weights(self, weights: object) -> None:
        raise AssertionError("a probe never loads weights into an engine")

    def close(self) -> None:
        pass

    def _complete(self, prompt: str, sampling: Sampling) -> Completion:
        text, finish = self._script(prompt)
        ids = tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        if len(ids) > sampling.max_tokens:
            ids, finish = ids[: sampling.max_tokens], FinishReason.LENGTH
            text = self._tokenizer.decode(ids)
        return Completion(text, ids, finish)
