"""`a5ctl run` as a person uses it: what is printed, what is recorded, what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from core.config.load import read_toml
from core.registry.store import open_registry
from tests.a5ctl.conftest import House, write_problems
from trainers import metric_table


def registry_of(house: House):
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


@pytest.mark.slow
def test_a_run_tells_its_story_and_names_the_next_commands(house: House) -> None:
    result = house.run("run", "sft", *house.small)
    assert result.exit_code == 0, result.output
    run_id = next(p.name for p in (house.home / "runs").iterdir())
    for expected in (
        "Preflight",
        "tokens are supervised",
        "Evaluation at step 0",
        "Evaluation at step 6",
        "type1",
        "unclosed",
        "unparseable",
        "step 6/6",
        "tok/s",
        f"finished {run_id}",
        f"a5ctl diagnose {run_id}",
    ):
        assert expected in result.output, expected


@pytest.mark.slow
def test_everything_is_in_the_registry(house: House) -> None:
    run_id = house.sft("--name", "first", "--tag", "a", "--tag", "b", "--note", "why")
    store = registry_of(house)
    run = store.find_run(run_id)
    assert (run.status, run.name, run.tags, run.note) == ("finished", "first", ("a", "b"), "why")
    assert (run.seed, run.size, run.data, run.exit_reason) == (0, 8, "data", "completed")
    points = store.metrics(run.uuid)
    for name in ("loss", "grad_norm", "lr", "tokens_per_second", "supervised_fraction"):
        assert [p.step for p in points[name]] == [1, 2, 3, 4, 5, 6], name
    assert points.keys() <= metric_table.BY_NAME.keys()
    first, last = sorted(store.evaluations([run.uuid]), key=lambda e: e.step)
    assert (first.step, last.step, first.n, first.split) == (0, 6, 12, "test")
    assert first.type1 + first.type2 + first.type3 == 12
    assert first.protocol["max_tokens"] == 12
    responses = store.responses(last.uuid)
    assert len(responses) == 12
    assert all(set(r.grades) >= {"r1_zero", "strict", "lenient"} for r in responses)
    assert all(r.grades["r1_zero"].failure for r in responses if not r.grades["r1_zero"].right)
    kinds = {event.kind for event in store.events(run.uuid)}
    assert {"preflight.supervision", "engine", "choices"} <= kinds
    paths = {artifact.path for artifact in store.artifacts(run.uuid)}
    assert any("step-000006" in path for path in paths)


@pytest.mark.slow
def test_the_stored_config_makes_the_same_run_again(house: House) -> None:
    first = house.sft()
    path = house.home / "runs" / first / "config.toml"
    assert read_toml(path)["train"]["threads"] == 1
    (outcome,) = house.json("run", "sft", "--config", str(path), "--quiet")
    store = registry_of(house)
    curves = [store.metrics(store.find_run(r).uuid)["loss"] for r in (first, outcome["run"])]
    assert [p.value for p in curves[0]] == [p.value for p in curves[1]]
    hashes = {store.find_run(r).config_hash for r in (first, outcome["run"])}
    assert len(hashes) == 1


@pytest.mark.slow
def test_a_stored_config_means_the_same_in_every_folder(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(house.data.parent)
    first = house.sft("--model", "model", "--data", "data")
    monkeypatch.chdir(tmp_path)
    config = house.home / "runs" / first / "config.toml"
    again = house.json("run", "sft", "--config", str(config), "--quiet")[0]["run"]
    store = registry_of(house)
    assert store.find_run(again).data_hash == store.find_run(first).data_hash


@pytest.mark.slow
def test_a_budget_on_the_command_line_replaces_that_of_the_file(house: House) -> None:
    path = house.home / "runs" / house.sft("--steps", "2") / "config.toml"
    options = ("--config", str(path), "--epochs", "0.5", "--quiet")
    (outcome,) = house.json("run", "sft", *options)
    train = read_toml(house.home / "runs" / outcome["run"] / "config.toml")["train"]
    assert train["epochs"] == 0.5
    assert "steps" not in train


@pytest.mark.slow
def test_a_matrix_is_a_group_and_goes_on_after_a_failed_run(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.sft import SFT

    update = SFT.update

    def fails_for_seed_0(self: SFT, step: int) -> dict:
        if self.plan.seed == 0 and self.plan.count == 8 and step == 2:
            raise RuntimeError("planted")
        return update(self, step)

    monkeypatch.setattr(SFT, "update", fails_for_seed_0)
    result = house.run("run", "sft", *house.small, "--size", "8,10", "--seed", "0,1", "--quiet")
    assert result.exit_code == 1
    assert "RuntimeError: planted" in result.output
    runs = registry_of(house).runs()
    assert sorted((r.size, r.seed, r.status) for r in runs) == [
        (8, 0, "failed"),
        (8, 1, "finished"),
        (10, 0, "finished"),
        (10, 1, "finished"),
    ]
    assert len({r.group for r in runs}) == 1
    assert runs[0].group
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.slow
def test_training_really_learns_and_evaluates_the_live_policy(house: House) -> None:
    run_id = house.sft(
        "--steps",
        "80",
        "--lr",
        "1e-2",
        "--size",
        "4",
        "--set",
        "evaluation.split=train",
        "--eval-limit",
        "40",
        "--max-tokens",
        "60",
    )
    store = registry_of(house)
    first, last = sorted(store.evaluations([store.find_run(run_id).uuid]), key=lambda e: e.step)
    assert last.accuracy > first.accuracy
    assert last.unclosed < first.unclosed


@pytest.mark.slow
def test_eval_of_a_run_repeats_its_last_evaluation(house: House) -> None:
    run_id = house.sft()
    (outcome,) = house.json("run", "eval", "--run", run_id, "--quiet")
    store = registry_of(house)
    trained, again = store.find_run(run_id), store.find_run(outcome["run"])
    assert again.parent_uuid == trained.uuid
    last = max(store.evaluations([trained.uuid]), key=lambda e: e.step)
    (repeated,) = store.evaluations([again.uuid])
    assert (repeated.step, repeated.generation, repeated.grading) == (
        6,
        last.generation,
        last.grading,
    )
    texts = [[r.text for r in store.responses(e.uuid)] for e in (last, repeated)]
    assert texts[0] == texts[1]


def test_eval_of_a_model_needs_no_training(house: House) -> None:
    options = ("--model", str(house.model), "--data", str(house.data), "--engine", "hf")
    (outcome,) = house.json("run", "eval", *options, "--max-tokens", "8", "--quiet")
    (evaluation,) = registry_of(house).evaluations(
        [registry_of(house).find_run(outcome["run"]).uuid]
    )
    assert (evaluation.step, evaluation.n) == (0, 12)


@pytest.mark.slow
def test_a_run_can_start_from_another(house: House) -> None:
    first = house.sft()
    (outcome,) = house.json(
        "run",
        "sft",
        "--init",
        first,
        *("--size", "8", "--steps", "2", "--lr", "1e-3"),
        *("--engine", "hf", "--max-tokens", "12", "--threads", "1", "--quiet"),
    )
    store = registry_of(house)
    child = store.find_run(outcome["run"])
    assert child.parent_uuid == store.find_run(first).uuid
    assert child.data == "data"


@pytest.mark.slow
def test_filter_solved_by_trains_on_what_a_run_has_solved(house: House) -> None:
    solver = house.sft(
        "--steps", "80", "--lr", "1e-2", "--size", "4", "--max-tokens", "60", "--split", "train"
    )
    result = house.run("run", "sft", *house.small, "--filter", "solved-by", solver, "--size", "40")
    assert result.exit_code == 0, result.output
    assert "filter solved-by keeps" in result.output
    child = registry_of(house).runs()[0]
    assert 1 <= child.size < 40


@pytest.mark.slow
def test_filter_correct_drops_targets_that_grade_wrong(house: House, tmp_path: Path) -> None:
    pairs = [
        {
            "prompt": f"Q{i} <think>",
            "response": f" x </think> <answer> {i if i % 2 else 999} </answer>",
            "ground_truth": str(i),
        }
        for i in range(20)
    ]
    path = tmp_path / "sft.jsonl"
    path.write_text("\n".join(map(json.dumps, pairs)))
    run_id = house.sft("--data", str(path), "--filter", "correct", "--size", "10")
    run = registry_of(house).find_run(run_id)
    assert 0 < run.size < 10
    assert any("filter correct keeps" in e.message for e in registry_of(house).events(run.uuid))


@pytest.mark.slow
def test_attention_by_torch_alone_pads_rows_on_a_cpu_and_says_so(house: House) -> None:
    options = ("--device", "cpu", "--attention", "sdpa", "--compile", "off")
    run_id = house.sft(*options)
    run = registry_of(house).find_run(run_id)
    assert (run.config["train"]["attention"], run.config["train"]["compile"]) == ("sdpa", "off")
    choices = [e for e in registry_of(house).events(run.uuid) if e.kind == "choices"]
    assert [e.data for e in choices] == [{"attention": "padded rows"}]
    shown = house.run("show", run.id)
    assert "padded rows" in " ".join(shown.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "./nowhere"), "nowhere"),
        (("--data", "./nowhere.jsonl"), "was not found"),
        (("--size", "41"), "size 41 is larger than the 40 training problems"),
        (("--size", "few"), "--size 'few': give positive numbers or full"),
        (("--seed", "-1"), "--seed '-1'"),
        (("--epochs", "2"), "epochs and steps are both budgets"),
        (("--lr", "0"), "train.lr"),
        (("--supervise", "all"), "'response', 'closing' or 'answer'"),
        (("--set", "train.epoch=1"), "did you mean train.epochs"),
        (("--prompt", "nothing"), "think_answer, question_only, instruction"),
        (("--engine", "tpu"), "evaluation.engine"),
        (("--device", "cuda"), "no GPU"),
        (("--device", "cpu", "--attention", "flash"), "need CUDA, and this run trains on cpu"),
        (("--device", "cpu", "--attention", "varlen"), "use --attention auto"),
        (("--attention", "fast"), "'auto', 'flash', 'varlen' or 'sdpa'"),
        (("--device", "cpu", "--compile", "on"), "use --compile auto"),
        (("--compile", "maybe"), "'auto', 'on' or 'off'"),
        (("--init", "sft-8-zzzz", "--model", "x"), "give only one"),
        (("--filter", "solved-by"), "needs a run"),
        (("--filter", "solved-by", "sft-8-zzzz"), "sft-8-zzzz"),
        (("--eval-limit", "13"), "larger than the 12 problems"),
        (("stray",), "unexpected argument 'stray'"),
        (("--config", "absent.toml"), "absent.toml cannot be read"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    house: House, arguments: tuple[str, ...], message: str
) -> None:
    if "cuda" in arguments:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
    small = house.small if "--init" not in arguments else house.small[2:]
    result = house.run("run", "sft", *small, *arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split()), result.output
    assert "Traceback" not in result.output
    assert not (house.home / "runs").exists() or not list((house.home / "runs").iterdir())


def test_a_broken_line_is_named_by_file_and_line(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    write_problems(folder / "train.jsonl", 5)
    write_problems(folder / "test.jsonl", 5)
    with (folder / "train.jsonl").open("a") as file:
        file.write('{"question": "Q"}\n')
    result = house.run("run", "sft", *house.small, "--data", str(folder))
    assert result.exit_code == 2
    assert "train.jsonl:6: " in "".join(result.output.split("\n"))


@pytest.mark.slow
def test_a_fatal_preflight_marks_the_run_failed(house: House) -> None:
    result = house.run("run", "sft", *house.small, "--max-length", "9")
    assert result.exit_code == 2
    assert "have no supervised token" in " ".join(result.output.split())
    (run,) = registry_of(house).runs()
    assert run.status == "failed"
    assert "preflight stopped the run" in (run.exit_reason or "")


def test_a_registry_on_a_network_file_system_is_named_once_in_a_run_and_in_no_listing(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("31 1 0:27 / / rw,relatime shared:1 - nfs4 server:/home rw\n")
    monkeypatch.setattr("core.file_systems.MOUNTS", mounts)
    result = house.run("run", "sft", *house.small, "--max-length", "9")
    registry = registry_of(house)
    (run,) = registry.runs()
    (told,) = [e for e in registry.events(run.uuid) if e.kind == "network_file_system"]
    assert told.severity == "warning"
    assert "keep it on a local disk (--registry or A5CTL_REGISTRY" in told.message
    assert " ".join(result.output.split()).count("is on a network file system (nfs4)") == 1
    assert "network" not in house.run("ls").output


def test_a_step_without_a_run_is_refused(house: House) -> None:
    assert house.run("run", "eval", "--step", "3").exit_code == 2
    assert house.run("run", "eval", "--run", "x", "--model", "y").exit_code == 2


@pytest.mark.slow
def test_a_chat_template_wraps_training_and_evaluation_alike(house: House, tmp_path: Path) -> None:
    model = tmp_path / "chat"
    shutil.copytree(house.model, model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["chat_template"] = "[user]{{ messages[0]['content'] }}[end][model]"
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    options = (*house.small, "--model", str(model), "--set", "prompt.chat=true")
    result = house.run("run", "sft", *options)
    assert result.exit_code == 0, result.output
    assert "inside the model's chat template" in " ".join(result.output.split())
    (run,) = registry_of(house).runs()
    evaluation = registry_of(house).evaluations([run.uuid])[0]
    assert evaluation.protocol["prompt_text"].endswith("[end][model]<think>")
    without = house.run("run", "sft", *house.small, "--set", "prompt.chat=true")
    assert without.exit_code == 2
    assert "no chat template" in " ".join(without.output.split())
