"""Tokenized examples kept from run to run: found by the hash of all that decides them.

A cache is never needed: what cannot be read is made again, what cannot be written is not kept.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from core.config.schema import Supervise
from core.units import MIB
from trainers.tokenization import Example, SourceText, encode_examples

# goes up whenever `encode_examples` makes something else of the same texts
_FORMAT = 1
# fewer characters are tokenized in less than a quarter of a second, hardly longer than reading
_WORTH_CHARACTERS = 1_000_000
_LIMIT_BYTES = 512 * MIB
_ABANDONED_S = 3600.0
_DIGEST_BYTES = 32
_SUFFIX = ".tokens"


def cached_examples(
    folder: Path,
    texts: Sequence[SourceText],
    tokenizer: Any,
    *,
    supervise: Supervise,
    supervise_eos: bool,
    max_length: int,
) -> list[Example]:
    """What `encode_examples` makes of the texts, read from `folder` where it is known already.

    Args:
        folder: Where earlier results lie; made when it is missing.
        texts: What becomes an example each.
        tokenizer: The policy's tokenizer, a fast one.
        supervise: Which part of the targets counts.
        supervise_eos: Append EOS and learn it.
        max_length: Tokens kept, from the left.
    """

    def encode() -> list[Example]:
        return encode_examples(
            texts,
            tokenizer,
            supervise=supervise,
            supervise_eos=supervise_eos,
            max_length=max_length,
        )

    if sum(len(text.prompt) + len(text.target) for text in texts) < _WORTH_CHARACTERS:
        return encode()
    settings = [supervise.value, supervise_eos, max_length]
    name = content_hash(texts, tokenizer, settings) + _SUFFIX
    return _read_or_make(folder / name, [text.problem_id for text in texts], encode)


def content_hash(texts: Sequence[SourceText], tokenizer: Any, settings: Sequence[Any]) -> str:
    """SHA-256 (64 hex digits) of everything that the tokens depend on.

    Ids of problems do not count, the order of the texts does. The tokenizer counts as it is in
    memory, with whatever was added to it after its files were read.
    """
    digest = hashlib.sha256()
    library = version("tokenizers")
    head = [_FORMAT, library, tokenizer.eos_token_id, *settings]
    digest.update(json.dumps(head).encode() + b"\n")
    digest.update(tokenizer.backend_tokenizer.to_str().encode() + b"\n")
    for text in texts:
        digest.update(json.dumps([text.prompt, text.target]).encode() + b"\n")
    return digest.hexdigest()


def _read_or_make(
    path: Path, problem_ids: Sequence[str], make: Callable[[], list[Example]]
) -> list[Example]:
    with contextlib.suppress(OSError, ValueError):
        examples = unpack(path.read_bytes(), problem_ids)
        os.utime(path)  # the oldest goes first, and this one is in use
        return examples
    examples = make()
    with contextlib.suppress(OSError):
        _write(path, pack(examples))
        _make_room(path.parent, path)
    return examples


def pack(examples: Sequence[Example]) -> bytes:
    """Examples as bytes: SHA-256 of what follows, then a safetensors file of flat arrays."""
    import numpy as np
    from safetensors.numpy import save

    tokens = [token for example in examples for token in example.token_ids]
    marks = [mark for example in examples for mark in example.supervised]
    payload = save(
        {
            "token_ids": np.array(tokens, dtype=np.int32),
            "supervised": np.packbits(np.array(marks, dtype=np.bool_)),
            "lengths": np.array([len(e.token_ids) for e in examples], dtype=np.int64),
            "prompt_lengths": np.array([e.prompt_length for e in examples], dtype=np.int64),
            "full_lengths": np.array([e.full_length for e in examples], dtype=np.int64),
        }
    )
    return hashlib.sha256(payload).digest() + payload


def unpack(data: bytes, problem_ids: Sequence[str]) -> list[Example]:
    """The inverse of `pack`.

    Args:
        data: What `pack` made.
        problem_ids: Ids of the examples, in order.

    Raises:
        ValueError: the bytes are damaged, or belong to another number of examples.
    """
    from safetensors.numpy import load

    digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError("the tokens are damaged")
    arrays = load(payload)
    lengths = arrays["lengths"].tolist()
    tokens = tuple(arrays["token_ids"].tolist())
    marks = _bits(arrays["supervised"], len(tokens))
    spans = list(pairwise(accumulate(lengths, initial=0)))
    rows = zip(
        problem_ids,
        spans,
        arrays["prompt_lengths"].tolist(),
        arrays["full_lengths"].tolist(),
        strict=True,
    )
    return [
        Example(identity, tokens[start:end], marks[start:end], prompt, full)
        for identity, (start, end), prompt, full in rows
    ]


def _bits(packed: Any, count: int) -> tuple[bool, ...]:
    import numpy as np

    return tuple(np.unpackbits(packed, count=count).astype(np.bool_).tolist())


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; a reader never sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _make_room(folder: Path, newest: Path) -> None:
    """Delete what was used longest ago until the rest fits, and what killed processes left."""
    ages = {path: path.stat() for path in folder.iterdir() if path.is_file()}
    for path, stat in ages.items():
        if path.suffix == ".partial" and time.time() - stat.st_mtime > _ABANDONED_S:
            path.unlink(missing_ok=True)
    kept = [path for path in ages if path.suffix == _SUFFIX]
    size = sum(ages[path].st_size for path in kept)
    for path in sorted(kept, key=lambda path: ages[path].st_mtime):
        if size <= _LIMIT_BYTES or path == newest:
            return
        path.unlink(missing_ok=True)
        size -= ages[path].st_size
