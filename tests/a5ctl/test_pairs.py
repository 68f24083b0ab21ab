"""`a5ctl pairs`: right and wrong recorded responses become a file, test problems do not."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app
from core.config.methods import KeepRollouts
from core.data.files import read_problems
from core.data.pairs import read_pairs
from core.evaluation import EvaluationResult
from core.prompts.template import load_prompt
from core.provenance import data_hash
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.rollouts import RolloutBatch
from tests.a5ctl import handmade
from tests.a5ctl.handmade import Answer, cut, evaluation, right, unclosed, wrong
from tests.rollouts import rollout

LONG = ("so " * 60 + wrong(10)[0], handmade.STOP)
ASKED: list[list[Answer]] = [
    [right(10), wrong(10), LONG, right(10)],
    [right(11), right(11), right(11), right(11)],
    [cut(12), wrong(12), unclosed(12), (f"yes {right(12)[0]}", handmade.STOP)],
]


def asked(split: str, groups: Sequence[Sequence[Answer]] = ASKED) -> EvaluationResult:
    """An evaluation on a split, whose prompts follow from what is stored."""
    made = evaluation([a for group in groups for a in group], samples=len(groups[0]), step=4)
    generation = replace(
        made.protocol.generation,
        split=split,
        data_hash=data_hash(made.problems),
        prompt_text="Question: {question}\nAnswer: <think>",
    )
    protocol = replace(made.protocol, generation=generation)
    return replace(made, split=split, protocol=protocol)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs")
    handmade.record(path, "eval-aaaa", [asked("train")], kind="eval")
    handmade.record(path, "eval-dddd", [asked("train", [[right(10), LONG]])], kind="eval")
    handmade.record(path, "sft-bbbb", [asked("test"), asked("train")])
    handmade.record(path, "sft-cccc", [asked("test")])
    return path


def pairs(home: Path, *arguments: object) -> Result:
    return CliRunner().invoke(
        app,
        ["pairs", *map(str, arguments), "--home", str(home)],
        env={"COLUMNS": "200", "NO_COLOR": "1"},
    )


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_pairs_answer_the_prompt_that_was_asked(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    result = pairs(home, "eval-aaaa", "--out", out)
    assert result.exit_code == 0, result.output
    assert "5 pairs of 2 problems" in result.output
    found = rows(out)
    assert {row["problem_id"] for row in found} == {"p000", "p002"}
    first = found[0]
    assert first["prompt"] == "Question: How many is 0 + 10?\nAnswer: <think>"
    assert first["chosen"] == right(10)[0]
    assert first["rejected"] in (wrong(10)[0], LONG[0])
    assert (first["question"], first["truth"]) == ("How many is 0 + 10?", "10")
    assert first["chosen_from"]["run"] == "eval-aaaa"
    assert (first["chosen_from"]["source"], first["chosen_from"]["step"]) == ("evaluation", 4)
    by_text = {row["rejected"]: row["rejected_truncated"] for row in found}
    assert by_text[cut(12)[0]] is True
    assert by_text[wrong(12)[0]] is False
    assert len(read_pairs(out)) == 5


def test_the_same_call_writes_the_same_file(home: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert pairs(home, "eval-aaaa", "sft-bbbb", "--out", tmp_path / name).exit_code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_figures_are_one_document(home: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "p", "--per-problem", "2", "--json")
    result = pairs(home, "eval-aaaa", *options)
    document = json.loads(result.stdout)
    assert document["pairs"] == 4
    assert document["pairs_by_run"] == {"eval-aaaa": 4}
    assert (document["responses"], document["duplicates"]) == (12, 4)
    assert (document["right"], document["wrong"], document["grader"]) == (3, 5, "strict")
    assert (document["problems"], document["problems_with_both"]) == (3, 2)
    assert document["left_out"] == []


def test_graders_balance_and_copies_are_choices(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "p"
    assert pairs(home, "eval-aaaa", "--out", out, "--length-balance", "2").exit_code == 0
    assert all(row["rejected"] != LONG[0] for row in rows(out))
    assert pairs(home, "eval-aaaa", "--out", out, "--force", "--grader", "lenient").exit_code == 0
    lenient = {row["chosen"] for row in rows(out)}
    assert unclosed(12)[0] in lenient
    assert pairs(home, "eval-aaaa", "--out", out, "--force", "--no-dedup").exit_code == 0
    assert len(rows(out)) == 7


def test_the_test_split_is_left_out_and_said(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "p"
    result = pairs(home, "sft-bbbb", "--out", out)
    assert result.exit_code == 0, result.output
    assert "cannot be tested on them: 1 evaluation of sft-bbbb on test" in result.output
    assert len(rows(out)) == 5


def test_the_test_split_alone_is_refused_unless_it_is_asked_for(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "p"
    result = pairs(home, "sft-cccc", "--out", out)
    assert result.exit_code == 2
    text = " ".join(result.output.split())
    assert "only on the split test, which is kept for measuring" in text
    assert "a5ctl run eval --run sft-cccc --split train" in text
    assert not out.exists()
    allowed = pairs(home, "sft-cccc", "--out", out, "--allow-test")
    assert allowed.exit_code == 0, allowed.output
    assert "accuracy on these splits means nothing" in " ".join(allowed.output.split())
    assert len(rows(out)) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "nobody"),
        (("eval-aaaa", "--grader", "mean"), "grader 'mean' is unknown"),
        (("eval-aaaa", "--grader", "multiple_choice"), "has judged none of the 12 responses"),
        (("eval-aaaa", "--source", "dreams"), "choose all, rollouts, evaluations"),
        (("eval-aaaa", "--source", "rollouts"), "recorded no rollouts to make pairs of"),
        (("eval-aaaa", "--step", "9"), "recorded no responses of step 9"),
        (("eval-dddd", "--length-balance", "1.5"), "raise --length-balance"),
        (("eval-aaaa", "--grader", "question_only"), "no problem has a right and a wrong response"),
    ],
)
def test_what_cannot_be_had_is_one_sentence_and_no_file(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = pairs(home, *arguments, "--out", tmp_path / "p")
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that sampled responses to its training problems while it learned."""
    path = tmp_path_factory.mktemp("sampled")
    data = path / "data"
    data.mkdir()
    lines = [
        {"question": "How many is 0 + 10?", "answer": "0 + 10\n#### 10"},
        {"prompt": "Count to 11! <think>", "response": " 11", "ground_truth": "11"},
    ]
    for split in ("train", "test"):
        (data / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    problems = read_problems(data / "train.jsonl", "data-train")
    texts = [[right(10)[0], wrong(10)[0]], [wrong(11)[0], right(11)[0]]]
    registry = handmade.open_home(path)
    config = {"kind": "grpo", "data": {"source": str(data)}}
    new = NewRun(kind="grpo", config=config, config_hash="c", model="m", data="data", id="grpo-a")
    run = registry.create_run(new)
    with Recorder(registry, run.uuid, path / "runs" / run.id) as recorder:
        for number, first_step in ((0, 1), (1, 5)):
            rollouts = [
                rollout(f"{number}: {text}", problem, sample=sample)
                for problem, group in zip(problems, texts, strict=True)
                for sample, text in enumerate(group)
            ]
            made = RolloutBatch(number, first_step, tuple(problems), 2, tuple(rollouts))
            recorder.rollouts(made, KeepRollouts.TEXT)
    registry.close()
    return path


def test_rollouts_give_pairs_with_the_prompts_of_their_run(sampled: Path, tmp_path: Path) -> None:
    out = tmp_path / "p"
    result = pairs(sampled, "grpo-a", "--out", out)
    assert result.exit_code == 0, result.output
    found = rows(out)
    assert len(found) == 8
    prompts = {row["problem_id"]: row["prompt"] for row in found}
    assert prompts["data-train-00001"] == "Count to 11! <think>"
    template = load_prompt("think_answer")
    assert prompts["data-train-00000"] == template.render("How many is 0 + 10?")
    origins = {(row["chosen_from"]["source"], row["chosen_from"]["step"]) for row in found}
    assert origins == {("rollout", 1), ("rollout", 5)}


def test_rollouts_of_one_step_alone(sampled: Path, tmp_path: Path) -> None:
    out = tmp_path / "p"
    assert pairs(sampled, "grpo-a", "--out", out, "--step", "5").exit_code == 0
    assert {row["chosen"][0] for row in rows(out)} == {"1"}
    assert len(rows(out)) == 2
    nothing = pairs(sampled, "grpo-a", "--out", tmp_path / "q", "--source", "evaluations")
    assert "recorded no evaluations to make pairs of" in " ".join(nothing.output.split())


def test_rollouts_to_data_that_has_changed_are_refused(sampled: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(sampled, tmp_path / "home"))
    train = sampled / "data" / "train.jsonl"
    before = train.read_text()
    train.write_text(before.replace("0 + 10?", "1 + 10?"))
    try:
        result = pairs(home, "grpo-a", "--out", tmp_path / "p")
    finally:
        train.write_text(before)
    assert result.exit_code == 2
    assert "has changed since run grpo-a sampled" in " ".join(result.output.split())


def test_a_file_that_is_there_is_kept(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    out.write_text("mine")
    assert pairs(home, "eval-aaaa", "--out", out).exit_code == 2
    assert out.read_text() == "mine"
    assert pairs(home, "eval-aaaa", "--out", out, "--force").exit_code == 0
