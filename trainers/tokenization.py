"""From texts to tensors: prompt and response tokenized apart, masks, and supervised spans."""

import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from core.config.schema import Supervise
from core.data.files import parse_pair
from core.models import encode_prompt, encode_prompts
from core.prompts.template import PromptTemplate, load_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
_FIRST_TAG = {Supervise.CLOSING: "</think>", Supervise.ANSWER: "<answer>"}


def tokenize_prompt_and_output(
    prompt_strs: Sequence[str], output_strs: Sequence[str], tokenizer: "PreTrainedTokenizerBase"
) -> dict[str, Tensor]:
    """Tokenize prompts and outputs apart, join them, pad right, and shift by one.

    Args:
        prompt_strs: B prompts.
        output_strs: B outputs.
        tokenizer: Any tokenizer; its padding id (or EOS id) fills the rows.

    Returns:
        `input_ids` and `labels`, int64 of shape (B, T - 1) where T is the longest joined row:
        the row without its last and without its first position. `response_mask`, bool of the
        same shape, true where the label is a token of the output.

    Raises:
        ValueError: the two lists differ in length.
    """
    pairs = [
        (encode_prompt(tokenizer, prompt), encode_prompt(tokenizer, output))
        for prompt, output in zip(prompt_strs, output_strs, strict=True)
    ]
    width = max((len(prompt) + len(output) for prompt, output in pairs), default=0)
    full = torch.full((len(pairs), width), padding_id(tokenizer), dtype=torch.int64)
    mask = torch.zeros((len(pairs), width), dtype=torch.bool)
    for row, (prompt, output) in enumerate(pairs):
        end = len(prompt) + len(output)
        full[row, :end] = torch.tensor(prompt + output, dtype=torch.int64)
        mask[row, len(prompt) : end] = True
    return {"input_ids": full[:, :-1], "labels": full[:, 1:], "response_mask": mask[:, 1:]}


@dataclass(frozen=True, slots=True)
class Example:
    """One training example in tokens.

    Attributes:
        problem_id: Id of its problem.
        token_ids: Prompt, response and, if supervised, EOS.
        supervised: For each token, whether it is a target of the loss; never true on the prompt.
        prompt_length: Tokens of the prompt.
        full_length: Tokens before cutting at the maximum length.
    """

    problem_id: str
    token_ids: tuple[int, ...]
    supervised: tuple[bool, ...]
    prompt_length: int
    full_length: int

    @property
    def supervised_count(self) -> int:
        """Targets of the loss; the first token of a row can never be one."""
        return sum(self.supervised[1:])

    @property
    def truncated(self) -> bool:
        """The example was cut at the maximum length."""
        return self.full_length > len(self.token_ids)


@dataclass(frozen=True, slots=True)
class SourceText:
    """What one training example is made from.

    Attributes:
        problem_id: Id of its problem.
        prompt: Text that is conditioned on.
        target: Text that is learned, without EOS.
    """

    problem_id: str
    prompt: str
    target: str


def encode_example(
    problem_id: str,
    prompt: str,
    target: str,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    supervise: Supervise = Supervise.RESPONSE,
    supervise_eos: bool = True,
    max_length: int = 1024,
) -> Example:
    """Tokenize one example and mark its supervised tokens.

    Args:
        problem_id: Id of its problem.
        prompt: Text that is conditioned on.
        target: Text that is learned, without EOS.
        tokenizer: The policy's tokenizer.
        supervise: Which part of the target counts.
        supervise_eos: Append EOS and learn it.
        max_length: Tokens kept, from the left.
    """
    (example,) = encode_examples(
        [SourceText(problem_id, prompt, target)],
        tokenizer,
        supervise=supervise,
        supervise_eos=supervise_eos,
        max_length=max_length,
    )
    return example


def encode_examples(
    texts: Sequence[SourceText],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    supervise: Supervise = Supervise.RESPONSE,
    supervise_eos: bool = True,
    max_length: int = 1024,
) -> list[Example]:
    """The same as `encode_example` of every text, with the tokenizer called once for all.

    Args:
        texts: What becomes an example each.
        tokenizer: The policy's tokenizer.
        supervise: Which part of the targets counts.
        supervise_eos: Append EOS and learn it.
        max_length: Tokens kept, from the left.
    """
    prompts = encode_prompts(tokenizer, [text.prompt for text in texts])
    targets = _encode_targets(tokenizer, [text.target for text in texts], supervise)
    end = (_eos_id(tokenizer),) if supervise_eos else ()
    return [
        _join(text.problem_id, prompt, ids, marks, end, max_length)
        for text, prompt, (ids, marks) in zip(texts, prompts, targets, strict=True)
    ]


def _encode_targets(
    tokenizer: Any, targets: Sequence[str], supervise: Supervise
) -> list[tuple[list[int], list[bool]]]:
    """Ids of every target and which of them count; offsets are only asked for where they tell."""
    if supervise is Supervise.RESPONSE or not targets:
        return [(ids, [True] * len(ids)) for ids in encode_prompts(tokenizer, targets)]
    encoded = tokenizer(list(targets), add_special_tokens=False, return_offsets_mapping=True)
    return [
        (list(ids), _supervised(target, offsets, supervise))
        for target, ids, offsets in zip(
            targets, encoded["input_ids"], encoded["offset_mapping"], strict=True
        )
    ]


def _join(
    problem_id: str,
    prompt: Sequence[int],
    target: Sequence[int],
    marks: Sequence[bool],
    end: Sequence[int],
    max_length: int,
) -> Example:
    token_ids = (*prompt, *target, *end)
    supervised = (*(False for _ in prompt), *marks, *(True for _ in end))
    return Example(
        problem_id=problem_id,
        token_ids=token_ids[:max_length],
        supervised=supervised[:max_length],
        prompt_length=len(prompt),
        full_length=len(token_ids),
    )


def collate(examples: Sequence[Example], pad_id: int) -> tuple[Tensor, Tensor]:
    """Pad right, shift by one, and ignore everything that is not supervised.

    Returns:
        `input_ids` and `labels`, int64 of shape (B, T - 1); labels are -100 off the targets.
    """
    width = max(len(example.token_ids) for example in examples)
    ids = torch.full((len(examples), width), pad_id, dtype=torch.int64)
    labels = torch.full((len(examples), width), IGNORED, dtype=torch.int64)
    for row, example in enumerate(examples):
        tokens = torch.tensor(example.token_ids, dtype=torch.int64)
        marked = torch.tensor(example.supervised, dtype=torch.bool)
        ids[row, : len(tokens)] = tokens
        labels[row, : len(tokens)] = torch.where(marked, tokens, IGNORED)
    return ids[:, :-1], labels[:, 1:]


def padding_id(tokenizer: Any) -> int:
    """The id rows are filled with: the padding token's, else EOS's, else 0."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0


def _eos_id(tokenizer: Any) -> int:
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no EOS token to supervise")
    return int(tokenizer.eos_token_id)


def _supervised(
    target: str, offsets: Sequence[tuple[int, int]], supervise: Supervise
) -> list[bool]:
    start = target.find(_FIRST_TAG[supervise])
    # a token that straddles the tag's first character carries it, so it counts
    return [start >= 0 and end > start for _, end in offsets]


class PackedSFTDataset(Dataset[dict[str, Tensor]]):
    """Instruction data packed into one token stream and cut into sequences of one length.

    Every line of the file becomes a document: the template with prompt and response filled in,
    tokenized with the tokenizer's own special tokens (a BOS where it has one), then EOS. Documents
    are joined without padding; what does not fill a last sequence and its labels is dropped.

    Item `i` holds `input_ids` and `labels`, int64 of shape (seq_length,): the stream from
    `i * seq_length`, and the same shifted by one.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        dataset_path: str | Path,
        seq_length: int,
        shuffle: bool,
        *,
        template: str = "instruction",
        seed: int = 0,
    ) -> None:
        """Read, render and tokenize the whole file.

        Args:
            tokenizer: Any tokenizer with an EOS token.
            dataset_path: Jsonl (or jsonl.gz) with the fields `prompt` and `response`.
            seq_length: Tokens of one sequence.
            shuffle: Shuffle the documents before they are joined.
            template: Built-in template or path of one with a `{response}` field.
            seed: Of the shuffle.

        Raises:
            UserError: a line is broken, or the template has no place for the response.
        """
        documents = _documents(Path(dataset_path), load_prompt(template))
        if shuffle:
            random.Random(seed).shuffle(documents)
        eos = _eos_id(tokenizer)
        stream = [token for text in documents for token in (*tokenizer.encode(text), eos)]
        self._stream = torch.tensor(stream, dtype=torch.int64)
        self._seq_length = seq_length

    def __len__(self) -> int:
        """Whole sequences whose labels are whole too."""
        return max(0, (len(self._stream) - 1) // self._seq_length)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sequence and its labels.

        Raises:
            IndexError: there is no such sequence.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        start = index * self._seq_length
        return {
            "input_ids": self._stream[start : start + self._seq_length],
            "labels": self._stream[start + 1 : start + 1 + self._seq_length],
        }


def iterate_batches(
    dataset: Dataset[dict[str, Tensor]], batch_size: int, shuffle: bool
) -> "DataLoader[dict[str, Tensor]]":
    """Batches for one pass over a data set; the last one may be smaller.

    Args:
        dataset: Items are dictionaries of tensors of equal shapes.
        batch_size: Items per batch.
        shuffle: Visit the items in random order (torch's generator).
    """
    return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)


def _documents(path: Path, template: PromptTemplate) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        records = [
            parse_pair(line, f"{path}:{number}")
            for number, line in enumerate(file, start=1)
            if line.strip()
        ]
    return [template.document(prompt, response) for prompt, response in records]
