"""Tensors of one example: where prompt ends, what is supervised, what padding is."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from core.config.schema import Supervise
from core.data.problem import Problem
from core.errors import UserError
from core.models import encode_prompt
from core.prompts.template import load_prompt
from trainers.policy import Policy
from trainers.tokenization import (
    IGNORED,
    PackedSFTDataset,
    SourceText,
    collate,
    encode_example,
    encode_examples,
    iterate_batches,
    padding_id,
    tokenize_prompt_and_output,
)

PROMPT = "Tom has 3 apples. Assistant: <think>"
TARGET = " 3 + 14 = 17 </think> <answer> 17 </answer>"


def test_prompt_and_output_are_joined_then_shifted(policy: Policy) -> None:
    tokenizer = policy.tokenizer
    tensors = tokenize_prompt_and_output([PROMPT, "A"], [TARGET, " B C D"], tokenizer)
    prompt, output = encode_prompt(tokenizer, PROMPT), encode_prompt(tokenizer, TARGET)
    full = prompt + output
    assert tensors["input_ids"][0].tolist() == full[:-1]
    assert tensors["labels"][0].tolist() == full[1:]
    assert tensors["response_mask"][0].tolist() == [0] * (len(prompt) - 1) + [1] * len(output)


def test_short_rows_are_padded_before_the_shift(policy: Policy) -> None:
    tokenizer = policy.tokenizer
    tensors = tokenize_prompt_and_output([PROMPT, "A"], [TARGET, " B"], tokenizer)
    short = encode_prompt(tokenizer, "A") + encode_prompt(tokenizer, " B")
    row = tensors["input_ids"][1].tolist()
    assert row[: len(short)] == short
    assert set(row[len(short) :]) == {padding_id(tokenizer)}
    assert tensors["response_mask"][1].sum() == len(encode_prompt(tokenizer, " B"))


def test_unequal_lists_are_refused(policy: Policy) -> None:
    with pytest.raises(ValueError, match="zip"):
        tokenize_prompt_and_output(["a"], ["b", "c"], policy.tokenizer)


def test_the_whole_response_and_eos_are_supervised(policy: Policy) -> None:
    example = encode_example("p", PROMPT, TARGET, policy.tokenizer)
    response = encode_prompt(policy.tokenizer, TARGET)
    assert example.supervised_count == len(response) + 1
    assert example.token_ids[-1] == policy.tokenizer.eos_token_id
    assert not any(example.supervised[: example.prompt_length])


@pytest.mark.parametrize(
    ("supervise", "tag"), [(Supervise.CLOSING, "</think>"), (Supervise.ANSWER, "<answer>")]
)
def test_partial_supervision_starts_at_its_tag(
    policy: Policy, supervise: Supervise, tag: str
) -> None:
    example = encode_example("p", PROMPT, TARGET, policy.tokenizer, supervise=supervise)
    learned = [t for t, s in zip(example.token_ids, example.supervised, strict=True) if s]
    text = policy.tokenizer.decode(learned)
    assert tag in text
    assert "14" not in text
    assert text.lstrip(" k>").startswith(tag[:3]) or text.strip().startswith(tag)


def test_a_target_without_the_tag_has_only_eos_to_learn(policy: Policy) -> None:
    example = encode_example("p", PROMPT, " no tags", policy.tokenizer, supervise=Supervise.ANSWER)
    assert example.supervised_count == 1


def test_without_eos_nothing_is_appended(policy: Policy) -> None:
    example = encode_example("p", PROMPT, TARGET, policy.tokenizer, supervise_eos=False)
    assert example.token_ids[-1] != policy.tokenizer.eos_token_id


def test_long_examples_are_cut_at_the_end_and_say_so(policy: Policy) -> None:
    example = encode_example("p", PROMPT, TARGET, policy.tokenizer, max_length=12)
    assert len(example.token_ids) == 12
    assert example.truncated
    assert example.full_length > 12


def test_collate_ignores_everything_that_is_not_supervised(policy: Policy) -> None:
    examples = [
        encode_example("a", PROMPT, TARGET, policy.tokenizer),
        encode_example("b", "A", " B", policy.tokenizer),
    ]
    ids, labels = collate(examples, padding_id(policy.tokenizer))
    assert ids.shape == labels.shape
    for row, example in enumerate(examples):
        kept = labels[row][labels[row] != IGNORED]
        expected = [t for t, s in zip(example.token_ids, example.supervised, strict=True) if s]
        assert kept.tolist() == expected
        width = len(example.token_ids)
        assert torch.equal(ids[row, : width - 1], torch.tensor(example.token_ids[: width - 1]))


def test_an_eos_that_is_also_padding_is_still_learned_once(policy: Policy) -> None:
    assert policy.tokenizer.pad_token_id == policy.tokenizer.eos_token_id
    examples = [
        encode_example("a", PROMPT, TARGET, policy.tokenizer),
        encode_example("b", "A", " B", policy.tokenizer),
    ]
    _, labels = collate(examples, padding_id(policy.tokenizer))
    assert (labels == policy.tokenizer.eos_token_id).sum() == 2


def write_pairs(path: Path, count: int) -> list[str]:
    rows = [{"prompt": f"Add {i} and 1", "response": f"It is {i + 1}."} for i in range(count)]
    text = "\n".join(map(json.dumps, rows))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    template = load_prompt("instruction")
    return [template.prompt(Problem("p", r["prompt"], "")) + r["response"] for r in rows]


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.jsonl.gz"])
def test_packing_joins_documents_with_eos_and_shifts_by_one(
    policy: Policy, tmp_path: Path, name: str
) -> None:
    documents = write_pairs(tmp_path / name, 9)
    dataset = PackedSFTDataset(policy.tokenizer, tmp_path / name, 16, shuffle=False)
    eos = policy.tokenizer.eos_token_id
    stream = [t for text in documents for t in (*policy.tokenizer.encode(text), eos)]
    assert len(dataset) == (len(stream) - 1) // 16
    for index in range(len(dataset)):
        start = 16 * index
        assert dataset[index]["input_ids"].tolist() == stream[start : start + 16]
        assert dataset[index]["labels"].tolist() == stream[start + 1 : start + 17]
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_packing_shuffles_documents_by_seed(policy: Policy, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", 30)

    def first(shuffle: bool, seed: int) -> list[int]:
        data = PackedSFTDataset(policy.tokenizer, tmp_path / "pairs.jsonl", 300, shuffle, seed=seed)
        return data[0]["input_ids"].tolist()

    assert first(True, 1) == first(True, 1)
    assert first(True, 1) != first(False, 1)


def test_batches_hold_every_sequence_once(policy: Policy, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", 20)
    dataset = PackedSFTDataset(policy.tokenizer, tmp_path / "pairs.jsonl", 16, shuffle=False)
    batches = list(iterate_batches(dataset, 4, shuffle=True))
    assert len(batches) == -(-len(dataset) // 4)
    rows = [tuple(row.tolist()) for batch in batches for row in batch["input_ids"]]
    assert sorted(rows) == sorted(
        tuple(item["input_ids"].tolist()) for item in map(dataset.__getitem__, range(len(dataset)))
    )


def test_packing_needs_a_place_for_the_response(policy: Policy, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", 2)
    with pytest.raises(UserError, match=r"no \{response\} field"):
        PackedSFTDataset(
            policy.tokenizer, tmp_path / "pairs.jsonl", 8, False, template="think_answer"
        )
    (tmp_path / "bad.jsonl").write_text('{"prompt": "x"}\n')
    with pytest.raises(UserError, match=r"bad\.jsonl:1: the line has no field response"):
        PackedSFTDataset(policy.tokenizer, tmp_path / "bad.jsonl", 8, False)


@pytest.mark.parametrize("supervise", list(Supervise))
@pytest.mark.parametrize("supervise_eos", [True, False])
def test_tokenizing_many_texts_at_once_changes_none(
    policy: Policy, supervise: Supervise, supervise_eos: bool
) -> None:
    texts = [
        SourceText("plain", PROMPT, TARGET),
        SourceText("accents", "Le café coûte 5 €, n'est-ce pas ?", f" é{TARGET}"),
        SourceText("chinese", "小明有三个苹果。", f"三加十四等于十七。{TARGET}"),
        SourceText("joined", "👩‍👩‍👧 e\u0301 \u202eabc", f" 😀</think>😀<answer>😀{TARGET}"),
        SourceText("special", "<|end|>", "<|end|></think> <answer>"),
        SourceText("blank", "", ""),
        SourceText("spaces", "  \n\t ", " \n "),
        SourceText("long", "a b " * 200, "1 2 " * 200 + TARGET),
    ]
    settings = {"supervise": supervise, "supervise_eos": supervise_eos, "max_length": 300}
    one_by_one = [
        encode_example(t.problem_id, t.prompt, t.target, policy.tokenizer, **settings)
        for t in texts
    ]
    assert encode_examples(texts, policy.tokenizer, **settings) == one_by_one
    # told apart from the implementation that both share: ids and offsets of single calls
    for text, example in zip(texts, one_by_one, strict=True):
        single = policy.tokenizer(
            text.target, add_special_tokens=False, return_offsets_mapping=True
        )
        end = [policy.tokenizer.eos_token_id] if supervise_eos else []
        ids = [*encode_prompt(policy.tokenizer, text.prompt), *single["input_ids"], *end]
        assert list(example.token_ids) == ids[:300]
        first = {Supervise.CLOSING: "</think>", Supervise.ANSWER: "<answer>"}.get(supervise)
        start = text.target.find(first) if first else 0
        marks = [start >= 0 and stop > start for _, stop in single["offset_mapping"]]
        if supervise is Supervise.RESPONSE:
            marks = [True] * len(marks)
        expected = [False] * example.prompt_length + marks + [True] * len(end)
        assert list(example.supervised) == expected[:300]


def test_no_texts_make_no_examples(policy: Policy) -> None:
    assert encode_examples([], policy.tokenizer, supervise=Supervise.ANSWER) == []
    assert encode_examples([], policy.tokenizer) == []
