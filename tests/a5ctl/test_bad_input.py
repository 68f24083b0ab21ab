"""What a person gives wrong is answered with one sentence that names it, and nothing is started."""

import json
import shutil
from pathlib import Path

import pytest

from core.registry.store import open_registry
from tests.a5ctl.conftest import House, write_problems

HOSTILE = "\x1b[31mred\x1b]0;own\x07 [bold]B[/nope] \u202eevil\u2066 {question} {0} %s \x08\u009b2J"
HARMFUL = {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))} | set(
    "\u202e\u2066"
)


def complaint(house: House, *arguments: str) -> str:
    """The one sentence of a refused command, whitespace evened out."""
    result = house.run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def runs(house: House) -> list:
    path = house.home / "registry.db"
    return open_registry(f"sqlite:///{path}").runs() if path.exists() else []


def with_train(house: House, tmp_path: Path, line: bytes) -> Path:
    folder = tmp_path / "data"
    shutil.copytree(house.data, folder)
    with (folder / "train.jsonl").open("ab") as file:
        file.write(line + b"\n")
    return folder


@pytest.mark.parametrize(
    "line",
    [
        b'{"question":',
        b"[1, 2]",
        b"\x00\x00",
        b'{"question": "caf\xe9", "answer": "#### 1"}',
        b'{"question": "q", "answer": "#### 1", "x": ' + b"9" * 5000 + b"}",
        b'{"question":' + b"[" * 100_000,
        b'{"question": NaN, "answer": "#### 1"}',
        b'{"question": "half \\ud800", "answer": "#### 1"}',
        b'{"question": "q", "answer": "no truth"}',
        b'{"\\u001b[31mred": 1}',
    ],
    ids=lambda line: line[:24].decode("latin-1").encode("unicode_escape").decode(),
)
def test_a_line_that_cannot_be_used_is_named(house: House, tmp_path: Path, line: bytes) -> None:
    folder = with_train(house, tmp_path, line)
    result = house.run("run", "sft", *house.small, "--data", str(folder))
    assert result.exit_code == 2, result.output
    assert "train.jsonl:41:" in "".join(result.output.split("\n"))
    assert not HARMFUL & set(result.output)
    assert runs(house) == []


def test_an_empty_test_file_is_named(house: House, tmp_path: Path) -> None:
    folder = with_train(house, tmp_path, b"")
    (folder / "test.jsonl").write_text("\n\n")
    assert "test.jsonl holds no problems" in "".join(
        complaint(house, "run", "sft", *house.small, "--data", str(folder)).split("\n")
    )


def test_a_prompt_file_that_is_not_text_is_named(house: House, tmp_path: Path) -> None:
    path = tmp_path / "p.prompt"
    path.write_bytes(b"\xff\xfe{question}")
    said = complaint(house, "run", "sft", *house.small, "--prompt", str(path))
    assert "cannot be read as UTF-8 text" in said


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--size", "\u00b2"),
        ("--seed", "\u00b2"),
        ("--lr", "inf"),
        ("--seed", "9" * 30),
        ("--steps", "9" * 20),
        ("--epochs", "1e308"),
        ("--threads", "100000"),
    ],
)
def test_absurd_numbers_are_refused_before_anything_starts(
    house: House, option: str, value: str
) -> None:
    small = list(house.small)
    if option == "--epochs":
        at = small.index("--steps")
        del small[at : at + 2]
    assert option.strip("-") in complaint(house, "run", "sft", *small, option, value)
    assert runs(house) == []


def broken_model(house: House, tmp_path: Path, how: str) -> Path:
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / how
    shutil.copytree(house.model, folder)
    weights = folder / "model.safetensors"
    name = "model.layers.0.mlp.gate_proj.weight"
    if how == "pickled":
        weights.unlink()
        torch.save({}, folder / "pytorch_model.bin")
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "garbage":
        weights.write_bytes(b"x" * 1000)
    elif how == "tokenless":
        (folder / "tokenizer.json").unlink()
    elif how == "weightless":
        weights.unlink()
    elif how in ("config.json", "generation_config.json"):
        (folder / how).write_text("{")
    else:
        tensors = load_file(weights)
        kept = tensors.pop(name)
        if how == "misshapen":
            tensors[name] = kept[:3].clone()
        save_file(tensors, weights, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("pickled", "only as pickle files"),
        ("cut", "damaged weight file model.safetensors"),
        ("garbage", "damaged weight file model.safetensors"),
        ("tokenless", "has no tokenizer"),
        ("weightless", "has no .safetensors weights"),
        ("config.json", "a config.json that is not a readable JSON object"),
        ("generation_config.json", "a generation_config.json that is not a readable JSON object"),
    ],
)
def test_a_damaged_model_is_refused_before_anything_starts(
    house: House, tmp_path: Path, how: str, message: str
) -> None:
    folder = broken_model(house, tmp_path, how)
    assert message in complaint(house, "run", "sft", *house.small, "--model", str(folder))
    assert runs(house) == []


@pytest.mark.parametrize("kind", ["sft", "eval"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "lacks the weight model.layers.0.mlp.gate_proj.weight"),
        ("misshapen", "has shape (3, 64) instead of (128, 64)"),
    ],
)
def test_weights_that_do_not_fit_are_never_replaced_by_random_ones(
    house: House, tmp_path: Path, kind: str, how: str, message: str
) -> None:
    folder = broken_model(house, tmp_path, how)
    small = house.small if kind == "sft" else (*house.small[2:6], "--max-tokens", "4")
    assert message in complaint(house, "run", kind, *small, "--model", str(folder))
    (run,) = runs(house)
    assert run.status == "failed"


def test_a_tokenizer_with_unknown_tokens_stops_the_run(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    shutil.copytree(house.model, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    said = complaint(house, "run", "sft", *house.small, "--model", str(folder))
    assert "take the tokenizer that belongs to the model" in said


@pytest.mark.slow
def test_a_prompt_beyond_the_models_positions_is_named_before_training(
    house: House, tmp_path: Path
) -> None:
    folder = with_train(house, tmp_path, b"")
    lines = [{"question": "word " * count, "answer": "#### 1"} for count in (3, 3000)]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, lines)))
    said = complaint(house, "run", "sft", *house.small, "--data", str(folder))
    assert "the prompt of problem data-test-00001 has" in said
    assert "at most 512" in said
    assert "step 1/" not in said


def test_a_filter_that_keeps_nothing_says_so(house: House, tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonl"
    pair = {"prompt": "Q <think>", "response": " x </think> <answer> 9 </answer>"}
    path.write_text("\n".join(json.dumps({**pair, "ground_truth": str(i)}) for i in range(8)))
    options = ("--data", str(path), "--size", "full", "--filter", "correct")
    assert "filter correct keeps none of the" in complaint(
        house, "run", "sft", *house.small, *options
    )
    assert runs(house) == []


@pytest.mark.parametrize("what", ["text", "folder", "newer", "foreign"])
def test_a_registry_that_cannot_be_used_is_named_by_every_command(house: House, what: str) -> None:
    import sqlite3

    from core.registry.store import open_registry

    house.home.mkdir()
    path = house.home / "registry.db"
    if what == "text":
        path.write_text("hello" * 1000)
    elif what == "folder":
        path.mkdir()
    elif what == "newer":
        open_registry(f"sqlite:///{path}", create=True).close()
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE a (b)")
    for command in (("ls",), ("show", "x"), ("compare",), ("resume", "x"), ("run", "sft")):
        assert "registry" in complaint(house, *command, *(house.small if "sft" in command else ()))
    assert not (house.home / "runs").exists()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("run.config", "{"), ("run.config", "null"), ("run.config", b"\xff")),
        *(("run.config", '{"a":' * 5000), ("run.status", "\x1b[31mred"), ("run.created", "soon")),
        *(("run.created", 1e300), ("run.pid", "x"), ("run.name", b"\xff")),
        *(("protocol.fields", "[]"), ("evaluation.accuracies", "{")),
        *(("evaluation.n", 0), ("evaluation.type1", "x")),
    ],
    ids=range(13),
)
def test_a_row_that_nobody_could_have_written_is_named(
    house: House, column: str, value: object
) -> None:
    import sqlite3

    from tests.a5ctl.handmade import evaluation, record, right

    house.home.mkdir()
    record(house.home, "sft-odd", [evaluation([right(1)])])
    table, _, name = column.partition(".")
    with sqlite3.connect(house.home / "registry.db") as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE {table} SET {name} = ?", (value,))
    said = complaint(house, "compare", "sft-odd")
    assert "sft-odd" in said or "of an evaluation in the registry is damaged" in said
    assert not HARMFUL & set(said)


def test_a_value_of_any_length_makes_no_sentence_of_any_length(house: House) -> None:
    said = complaint(house, "run", "sft", *house.small, "--on-alarm", "x" * 100_000)
    assert "'warn', 'stop' or 'rollback'" in said
    assert len(said) < 5000


def test_a_file_in_the_place_of_the_run_folders_is_named(house: House) -> None:
    house.home.mkdir()
    (house.home / "runs").write_text("x")
    assert "is a file where the run folders belong" in complaint(house, "run", "sft", *house.small)


@pytest.mark.slow
def test_hostile_texts_and_names_reach_no_terminal(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    row = {"question": f"{HOSTILE} how many?", "answer": f"{HOSTILE}\n#### 4"}
    for split in ("train", "test"):
        text = "\n".join(
            json.dumps({**row, "question": f"{i} {row['question']}"}) for i in range(8)
        )
        (folder / f"{split}.jsonl").write_text(text)
    labels = [o for name in ("--name", "--group", "--tag", "--note") for o in (name, HOSTILE)]
    options = ("--data", str(folder), *labels, "--prompt", "instruction", "--steps", "2")
    samples = ("--set", "evaluation.n=2", "--temperature", "0.7")
    printed = [house.run("run", "sft", *house.small, *options, *samples)]
    printed.append(house.run("run", "sft", *house.small, *options, *samples, "--seed", "1"))
    first, second = (run.id for run in runs(house))
    for command in (
        ("ls",),
        ("show", first),
        ("diagnose", first),
        ("diagnose", first, "--against", second),
        ("compare",),
        ("ls", "--group", HOSTILE),
        ("ls", "--json"),
        ("show", first, "--json"),
        ("diagnose", first, "--json"),
        ("compare", "--json"),
    ):
        printed.append(house.run(*command))
    named = house.run("show", HOSTILE)
    assert "fits several runs" in " ".join(named.output.split())
    assert not HARMFUL & set(named.output)
    assert [result.exit_code for result in printed] == [0] * len(printed), printed[-5].output
    for result in printed:
        assert not HARMFUL & set(result.output)
        if "[bold]" in result.output:
            assert "[bold]B[/nope]" in result.output


@pytest.mark.slow
def test_data_with_a_very_long_line_is_refused_by_its_problem(house: House, tmp_path: Path) -> None:
    long = {"question": "A" * 100_000, "answer": "B" * 100_000 + "\n#### 3"}
    folder = with_train(house, tmp_path, json.dumps(long).encode())
    said = complaint(house, "run", "sft", *house.small, "--size", "41", "--data", str(folder))
    assert "(first: data-train-00040)" in said


@pytest.mark.slow
def test_the_smallest_run_there_is(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    write_problems(folder / "train.jsonl", 1)
    write_problems(folder / "test.jsonl", 1, offset=50)
    small = [*house.small]
    at = small.index("--steps")
    del small[at : at + 2]
    options = ("--data", str(folder), "--size", "1", "--batch-size", "64", "--epochs", "0.1")
    limits = ("--eval-limit", "1", "--max-tokens", "1", "--quiet")
    (outcome,) = house.json("run", "sft", *small, *options, *limits)
    assert house.run("diagnose", outcome["run"]).exit_code == 0
    assert house.run("compare").exit_code == 0
    assert runs(house)[0].status == "finished"


COURSE = Path(__file__).parents[3] / "shared" / "data" / "prompts"


@pytest.mark.slow
@pytest.mark.skipif(not COURSE.is_dir(), reason="the course's prompt files are not here")
@pytest.mark.parametrize(
    ("name", "grader", "stop"),
    [
        ("alpaca_sft", "question_only", []),
        ("question_only", "question_only", []),
        ("r1_zero", "r1_zero", ["</answer>"]),
    ],
)
def test_the_courses_prompt_files_work_by_path(
    house: House, name: str, grader: str, stop: list[str]
) -> None:
    options = ("--prompt", str(COURSE / f"{name}.prompt"), "--steps", "2")
    result = house.run("run", "sft", *house.small, *options)
    assert result.exit_code == 0, result.output
    assert f"the {grader} grader accepts all 8 training targets" in result.output
    (run,) = runs(house)
    assert (run.config["evaluation"]["grader"], run.config["evaluation"]["stop"]) == (grader, stop)
