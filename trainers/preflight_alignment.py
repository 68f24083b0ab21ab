"""Preflight's check that labels stand where the loss reads them, from the collated tensors alone.

The tensors of every form of micro-batch are compared with the tokenized examples, not with the
code that made them: behind the input at position t the loss must ask for token t + 1.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from trainers.batching import split_microbatches
from trainers.fast.layout import pack
from trainers.packed.row import pack_row
from trainers.preflight_report import DecodedExample, PreflightInput, Result, fatal, fine
from trainers.tokenization import IGNORED, Example, collate, padding_id

_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Row:
    """What one form of micro-batch holds for one example, padding included.

    Attributes:
        example: The example.
        input_ids: Tokens that are fed.
        labels: What the loss asks for behind each of them; -100 where it asks for nothing.
    """

    example: Example
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


Form = Callable[[Sequence[Example], int], Iterator[Row]]
"""Makes a micro-batch (padding id second) as training does and takes it apart by example."""


def padded_rows(examples: Sequence[Example], pad_id: int) -> Iterator[Row]:
    """The rows of `collate`."""
    ids, labels = collate(examples, pad_id)
    for example, row, asked in zip(examples, ids.tolist(), labels.tolist(), strict=True):
        yield Row(example, tuple(row), tuple(asked))


def packed_rows(examples: Sequence[Example], pad_id: int) -> Iterator[Row]:
    """The rows of `pack_row`, taken apart where it says that examples end."""
    row = pack_row(examples)
    labels = _spread(row.supervised, row.labels, row.positions)
    ends = row.cu_seqlens.tolist()
    for example, (start, end) in zip(examples, pairwise(ends), strict=True):
        yield Row(example, tuple(row.ids[start:end].tolist()), tuple(labels[start:end]))


def prefix_sharing_rows(examples: Sequence[Example], pad_id: int) -> Iterator[Row]:
    """The rows of `pack`: what all share, then what each has alone."""
    row = pack(examples)
    labels, ids = _spread(row.supervised, row.labels, row.tokens), row.ids.tolist()
    for example, spans in zip(examples, row.spans, strict=True):
        places = [place for span in spans for place in span]
        yield Row(example, tuple(ids[i] for i in places), tuple(labels[i] for i in places))


def _spread(places: Tensor, labels: Tensor, length: int) -> list[int]:
    spread = torch.full((length,), IGNORED, dtype=torch.int64)
    spread[places] = labels
    result: list[int] = spread.tolist()
    return result


FORMS: dict[str, Form] = {
    "padded": padded_rows,
    "packed": packed_rows,
    "prefix-sharing": prefix_sharing_rows,
}
"""Every form of micro-batch that training uses."""


def alignment(given: PreflightInput) -> Result:
    """Labels are the next tokens, on the response only, in every form of micro-batch."""
    pad_id = padding_id(given.tokenizer)
    examples = [given.examples[index] for index in given.sample]
    for name, form in FORMS.items():
        for microbatch in split_microbatches(examples, _TOKENS):
            for row in form(microbatch, pad_id):
                defect = find_defect(row, given.tokenizer)
                if defect is not None:
                    return fatal(
                        f"example {row.example.problem_id} is misaligned in {name} micro-batches: "
                        f"{defect}; this is a defect of the program, and no data can mend it"
                    )
    return fine(
        f"in {len(examples)} of {len(given.examples)} examples looked at, every label is the next "
        f"token ({', '.join(FORMS)} micro-batches)"
    )


def find_defect(row: Row, tokenizer: Any) -> str | None:
    """What is wrong with the tensors of one example; None when nothing is."""
    tokens, marks = row.example.token_ids, row.example.supervised
    if row.input_ids[: len(tokens) - 1] != tokens[:-1]:
        return "the tokens fed are not those of the example"
    if len(row.labels) != len(row.input_ids):
        return f"{len(row.input_ids)} tokens have {len(row.labels)} labels"
    wanted = tuple(
        t if marked else IGNORED for t, marked in zip(tokens[1:], marks[1:], strict=True)
    )
    for place, label in enumerate(row.labels):
        if label != IGNORED and (found := _false_label(row, place, tokenizer)) is not None:
            return found
    for place, (label, right) in enumerate(zip(row.labels, wanted, strict=False)):
        if label != right:
            what = "EOS" if right == tokenizer.eos_token_id else "a token"
            return f"{what} at position {place + 1} is {_masked(label)} and should not be"
    return None


def _false_label(row: Row, place: int, tokenizer: Any) -> str | None:
    tokens, label = row.example.token_ids, row.labels[place]
    if place + 1 >= len(tokens):
        return f"padding at position {place + 1} is supervised"
    if label != tokens[place + 1]:
        asked, right = tokenizer.decode([label]), tokenizer.decode([tokens[place + 1]])
        return f"position {place} is labelled {asked!r} where {right!r} comes next"
    if place + 1 < row.example.prompt_length:
        return f"position {place + 1} of the prompt is supervised"
    return None


def _masked(label: int) -> str:
    return "masked" if label == IGNORED else "supervised"


def decode_example(example: Example, tokenizer: Any) -> DecodedExample:
    """Decode one example from the very tensors the loss gets, so that a shifted mask would show."""
    ids, labels = collate([example], padding_id(tokenizer))
    kept = labels[0] != IGNORED
    context = [int(ids[0, 0]), *labels[0].masked_fill(kept, IGNORED).tolist()]
    first = int(kept.nonzero()[0]) + 1 if bool(kept.any()) else len(context)
    return DecodedExample(
        context=tokenizer.decode(list(example.token_ids[:first])),
        supervised=tokenizer.decode(labels[0][kept].tolist()),
    )
