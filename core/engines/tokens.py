"""From characters to tokens: how many tokens of a response lie before a place in its text."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from core.engines.base import Completion
from core.engines.streaming import TextStream

_REPLACEMENT = "\ufffd"


def token_spans(tokenizer: Any) -> Callable[[Completion, Sequence[int]], list[int]]:
    """Make the function that counts tokens before character offsets of a completion's text.

    A token counts when it ends at or before the offset; special tokens have no text and count
    with what stands before them. Byte-level tokenizers are counted through a table of byte
    lengths; others, and texts with broken characters, by decoding token by token.

    Args:
        tokenizer: The engine's fast tokenizer.

    Returns:
        A function of a completion and ascending or unordered offsets, which returns one count
        per offset. Offsets beyond the text are those of its end.
    """
    lengths = _byte_lengths(tokenizer)
    specials = frozenset(tokenizer.all_special_ids)

    def spans(completion: Completion, offsets: Sequence[int]) -> list[int]:
        text = completion.text
        if lengths is not None and _REPLACEMENT not in text:
            ends = list(accumulate(_length(lengths, token) for token in completion.token_ids))
            places = [len(text[: max(offset, 0)].encode()) for offset in offsets]
        else:
            ends = _decoded_ends(tokenizer, specials, completion.token_ids)
            places = [min(max(offset, 0), len(text)) for offset in offsets]
        return [bisect_right(ends, place) for place in places]

    return spans


def _length(lengths: Sequence[int], token: int) -> int:
    """Bytes of a token; ids above the vocabulary (padded output heads) have no text."""
    return lengths[token] if token < len(lengths) else 0


def _byte_lengths(tokenizer: Any) -> tuple[int, ...] | None:
    """Bytes of every token of a byte-level tokenizer, or None for other kinds."""
    backend = tokenizer.backend_tokenizer
    if "ByteLevel" not in _decoder_kinds(backend.decoder):
        return None
    return _byte_table(_Keyed(backend))


class _Keyed:
    """A backend tokenizer as a cache key: the same object with the same vocabulary size."""

    def __init__(self, backend: Any):
        self.backend = backend
        self._key = (id(backend), backend.get_vocab_size(with_added_tokens=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=8)
def _byte_table(keyed: _Keyed) -> tuple[int, ...]:
    backend = keyed.backend
    vocabulary = backend.get_vocab(with_added_tokens=True)
    table = [0] * (max(vocabulary.values(), default=-1) + 1)
    for token, index in vocabulary.items():
        # byte-level vocabularies write each byte as one character
        table[index] = len(token)
    for index, added in backend.get_added_tokens_decoder().items():
        # added tokens are plain text; special ones are left out of responses
        table[index] = 0 if added.special else len(added.content.encode())
    return tuple(table)


def _decoder_kinds(decoder: Any) -> set[str]:
    """Names of a decoder and, in a sequence, of its only member."""
    import json

    state = json.loads(decoder.__getstate__()) if decoder is not None else {}
    members = state.get("decoders", [state])
    return {members[0].get("type", "")} if len(members) == 1 else set()


def _decoded_ends(tokenizer: Any, specials: frozenset[int], token_ids: Sequence[int]) -> list[int]:
    """Character at which each token ends; tokens inside a character end where it does."""
    stream = TextStream(tokenizer)
    ends: list[int] = []
    position = waiting = 0
    for token in token_ids:
        new = len(stream.step(token))
        position += new
        if new or (token in specials and not waiting):
            ends += [position] * (waiting + 1)
            waiting = 0
        else:
            waiting += 1
    return ends + [position + 1] * waiting
