"""Preflight through the program: data files that truly have a defect, and what a run says of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.registry.records import EventRecord
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House, write_problems
from trainers.preflight import CHECKS
from trainers.tokenization import IGNORED, Example, collate

Pair = dict[str, str]
_SHORT = (
    *("--steps", "1", "--batch-size", "2", "--eval-limit", "1", "--max-tokens", "64", "--quiet"),
    *("--set", "evaluation.at_start=false"),
)


def pair(i: int, response: str | None = None, *, prompt: str | None = None) -> Pair:
    """One healthy record of a file with prompts and responses of its own."""
    question = f"User: what is {i} + {2 * i}?\nAssistant: <think>"
    answer = f" {i} + {2 * i} = {3 * i} </think> <answer> {3 * i} </answer>"
    return {
        "prompt": question if prompt is None else prompt,
        "response": answer if response is None else response,
        "ground_truth": str(3 * i),
    }


def write_pairs(folder: Path, pairs: Sequence[Mapping[str, str]]) -> Path:
    folder.mkdir()
    lines = "\n".join(map(json.dumps, pairs))
    (folder / "train.jsonl").write_text(lines + "\n", encoding="utf-8")
    write_problems(folder / "test.jsonl", 4, offset=500)
    return folder


def events(house: House, data: Path, *options: str) -> dict[str, EventRecord]:
    """Preflight's events of one short run, by the name of the check."""
    size = str(len((data / "train.jsonl").read_text(encoding="utf-8").splitlines()))
    result = house.run(
        "run", "sft", *house.small, "--data", data, "--size", size, *_SHORT, *options
    )
    assert result.exit_code == 0, result.output
    store = handmade.open_home(house.home)
    found = store.events(store.runs()[0].uuid)
    return {
        event.kind.removeprefix("preflight."): event
        for event in found
        if event.kind.startswith("preflight.")
    }


def refusal(house: House, data: Path, *options: str) -> str:
    """The one sentence of a run that preflight stops."""
    result = house.run("run", "sft", *house.small, "--data", data, "--size", "8", *_SHORT, *options)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    said = " ".join(result.output.split())
    assert said.count("preflight stopped the run") == 1
    return said


def warned(found: Mapping[str, EventRecord]) -> set[str]:
    return {name for name, event in found.items() if event.severity != "info"}


@pytest.mark.slow
def test_healthy_pairs_raise_no_doubt(house: House, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "data", [pair(i) for i in range(12)])
    found = events(house, data)
    assert warned(found) == set(), found
    assert len(found) == len(CHECKS)


DEFECTS: dict[str, tuple[str, Callable[[int], Pair], str]] = {
    "EOS of the model itself": (
        "endings",
        lambda i: pair(i, pair(i)["response"] + "<|end|>"),
        "8 targets already end with <|end|>",
    ),
    "EOS of another model": (
        "endings",
        lambda i: pair(i, pair(i)["response"] + "<|im_end|>"),
        "8 targets end with <|im_end|>",
    ),
    "never closes": (
        "closing",
        lambda i: pair(i, pair(i)["response"].removesuffix(" </answer>")),
        "8 of 8 targets never close their <answer>",
    ),
    "never stops thinking": (
        "closing",
        lambda i: pair(i, f" it is {3 * i} <answer> {3 * i} </answer>"),
        "8 of 8 targets never close their <think>",
    ),
    "no stop string": (
        "stop",
        lambda i: pair(i, f" it is {3 * i} </think>"),
        "8 of 8 targets never contain a stop string",
    ),
    "goes on after its answer": (
        "stop",
        lambda i: pair(i, pair(i)["response"] + " and now something else"),
        "8 targets go on behind their first stop string",
    ),
    "the grader refuses": (
        "targets",
        lambda i: pair(i, f" so </think> <answer> {3 * i + 1} </answer>"),
        "accepts only 0.0% of the training targets",
    ),
    "prompt in the response": (
        "repetition",
        lambda i: pair(i, pair(i)["prompt"] + pair(i)["response"]),
        "8 of 8 targets begin with their own prompt",
    ),
    "space at the end of the prompt": (
        "boundary",
        lambda i: pair(i, "apples:" + pair(i)["response"], prompt=pair(i)["prompt"] + " "),
        "change their tokens where prompt and target meet",
    ),
    "one answer": (
        "answers",
        lambda i: {
            **pair(i, " so </think> <answer> 7 </answer>"),
            "ground_truth": "7",
        },
        "the commonest answer, '7', is that of 8 of 8 examples",
    ),
    "copies": (
        "questions",
        lambda i: pair(i % 4),
        "4 of 8 examples are copies of others",
    ),
    "two truths": (
        "questions",
        lambda i: pair(i, prompt="User: what is the number?\nAssistant: <think>"),
        "1 questions stand in the training data with different answers",
    ),
    "cut at the maximum": (
        "length",
        lambda i: pair(i, " so" * 200 + pair(i)["response"]),
        "8 of 8 examples are cut at",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_data_becomes_a_warning(house: House, tmp_path: Path, defect: str) -> None:
    check, record, message = DEFECTS[defect]
    data = write_pairs(tmp_path / "data", [record(i) for i in range(8)])
    limits = ("--max-length", "120") if check == "length" else ()
    found = events(house, data, *limits)
    assert found[check].severity == "warning", found[check]
    assert message in found[check].message


@pytest.mark.slow
def test_training_questions_in_the_evaluation_are_leakage(house: House, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_problems(data / "train.jsonl", 8)
    write_problems(data / "test.jsonl", 8, offset=4)
    questions = [json.loads(x)["question"] for x in (data / "train.jsonl").open()]
    (data / "test.jsonl").write_text(
        json.dumps({"question": f"  {questions[3].upper()} ", "answer": "#### 1"}) + "\n"
    )
    leakage = events(house, data)["leakage"]
    assert leakage.severity == "warning"
    assert "1 of 8 training questions are also asked" in leakage.message


@pytest.mark.slow
def test_asking_the_train_split_is_no_leakage(house: House) -> None:
    found = events(house, house.data, "--split", "train")
    assert found["leakage"].severity == "info"


def test_targets_without_anything_to_learn_stop_the_run(house: House, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "data", [pair(i, " no tag at all") for i in range(8)])
    said = refusal(house, data, "--supervise", "answer")
    assert "8 of 8 examples have no supervised token besides EOS" in said


@pytest.mark.slow
def test_training_without_eos_is_a_warning(house: House, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "data", [pair(i) for i in range(8)])
    found = events(house, data, "--set", "train.supervise_eos=false")
    assert found["eos"].severity == "warning"


@pytest.mark.slow
def test_data_may_bring_its_own_eos_instead(house: House, tmp_path: Path) -> None:
    own = [pair(i, pair(i)["response"] + "<|end|>") for i in range(8)]
    data = write_pairs(tmp_path / "data", own)
    found = events(house, data, "--set", "train.supervise_eos=false")
    assert (found["eos"].severity, found["endings"].severity) == ("info", "info")


def shifted(ids: Tensor, labels: Tensor) -> Tensor:
    return labels.roll(1, dims=1)


def padding_masked_by_value(ids: Tensor, labels: Tensor) -> Tensor:
    """What hides EOS where it is the padding token too, as in the small model."""
    return labels.masked_fill(labels == 0, IGNORED)


def prompt_kept(ids: Tensor, labels: Tensor) -> Tensor:
    return torch.cat([ids[:, 1:], labels[:, -1:]], dim=1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shifted, "is labelled"),
        (padding_masked_by_value, "EOS at position"),
        (prompt_kept, "of the prompt is supervised"),
    ],
)
def test_labels_that_the_loss_would_read_wrongly_stop_the_run(
    house: House,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Tensor, Tensor], Tensor],
    said: str,
) -> None:
    def spoiled(examples: Sequence[Example], pad_id: int) -> tuple[Tensor, Tensor]:
        ids, labels = collate(examples, pad_id)
        return ids, spoil(ids, labels)

    monkeypatch.setattr("trainers.preflight_alignment.collate", spoiled)
    sentence = refusal(house, write_pairs(tmp_path / "data", [pair(i) for i in range(8)]))
    assert "is misaligned in padded micro-batches" in sentence
    assert said in sentence


@pytest.mark.slow
def test_little_memory_switches_activation_checkpointing_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.memory_setup.available_memory", lambda device: 2**20)
    run = house.sft("--eval-limit", "1")
    store = handmade.open_home(house.home)
    found = {e.kind: e for e in store.events(store.find_run(run).uuid)}
    assert "activation checkpointing is on" in found["activation_checkpointing"].message
    assert found["preflight.memory"].severity == "warning"
    assert "only 1 MiB are free" in found["preflight.memory"].message
