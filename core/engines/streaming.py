"""Reading a response while it grows: incremental text, stop strings, end tokens, the cap.

The rules are those of vLLM, token for token, so that both engines end a response at the same place.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from core.engines.base import Completion, FinishReason, Sampling
from core.engines.requests import Request

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TextStream:
    """Turns tokens into text one at a time, holding back characters that are not yet complete."""

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int] = ()):
        from tokenizers.decoders import DecodeStream

        self._backend: Tokenizer = tokenizer.backend_tokenizer
        try:
            # some decoders treat the first token of a text in a special way: continue the prompt
            self._stream = DecodeStream(ids=list(prompt_ids), skip_special_tokens=True)
        except TypeError:  # tokenizers before 0.22 cannot start in the middle
            self._stream = DecodeStream(skip_special_tokens=True)
            for token in prompt_ids:
                self.step(token)

    def step(self, token: int) -> str:
        """The text this token completes; empty for special tokens and unfinished characters."""
        from tokenizers.decoders import DecodeStream

        try:
            return self._stream.step(self._backend, token) or ""
        except OverflowError:
            return ""
        except Exception as error:
            if not str(error).startswith("Invalid prefix encountered"):
                raise
            # invalid UTF-8 can make a decoder revise earlier text; vLLM starts afresh here too
            self._stream = DecodeStream(skip_special_tokens=True)
            return self._stream.step(self._backend, token) or ""


class ResponseStream:
    """One response in the making."""

    def __init__(
        self, request: Request, sampling: Sampling, tokenizer: Any, end_ids: Collection[int]
    ):
        self.request = request
        self.finish: FinishReason | None = None
        self._sampling = sampling
        self._end_ids = end_ids
        self._decoder = TextStream(tokenizer, request.prompt_ids)
        self._text = ""
        self._ids: list[int] = []
        self._logprobs: list[float] = []

    def accept(self, token: int, logprob: float | None) -> FinishReason | None:
        """Append one sampled token; returns why the response ends, or None to go on."""
        self._ids.append(token)
        if logprob is not None:
            self._logprobs.append(logprob)
        new_text = self._decoder.step(token)
        self._text += new_text
        if token in self._end_ids:
            self.finish = FinishReason.EOS
        elif self._stopped(len(new_text)):
            self.finish = FinishReason.STOP_STRING
        elif len(self._ids) >= self.request.max_tokens:
            self.finish = FinishReason.LENGTH
        return self.finish

    def completion(self) -> Completion:
        """The response as it stands."""
        return Completion(
            text=self._text,
            token_ids=tuple(self._ids),
            finish=self.finish or FinishReason.UNKNOWN,
            logprobs=tuple(self._logprobs) if self._sampling.logprobs else None,
        )

    def _stopped(self, new_chars: int) -> bool:
        """Cut the text after the stop string that ends first, if the new text completes one."""
        if not new_chars or len(self._ids) <= self._sampling.min_tokens:
            return False
        ends = [
            found + len(stop)
            for stop in self._sampling.stop
            if (found := self._text.find(stop, self._search_start(new_chars, stop))) >= 0
        ]
        if ends:
            self._text = self._text[: min(ends)]
        return bool(ends)

    def _search_start(self, new_chars: int, stop: str) -> int:
        return max(0, len(self._text) + 1 - new_chars - len(stop))
