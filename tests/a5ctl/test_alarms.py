"""Runs that truly go wrong: the alarm is recorded with its evidence, and shown."""

import json
import shutil
from pathlib import Path

import pytest

from core.registry.records import EventRecord
from core.registry.store import Registry, open_registry
from tests.a5ctl.conftest import House
from trainers.watchdog import RULES

NAMES = {rule.name for rule in RULES}
# one evaluation, at the end; its texts are longer than a target
TRAINED = ("--set", "evaluation.at_start=false", "--max-tokens", "60", "--steps", "80")
FAST = ("--set", "evaluation.at_start=false", "--eval-limit", "3", "--steps", "24")


def registry_of(house: House) -> Registry:
    return open_registry(f"sqlite:///{house.home / 'registry.db'}")


def alarms(house: House) -> dict[str, EventRecord]:
    """Alarms of the newest run by rule."""
    registry = registry_of(house)
    found = [e for e in registry.events(registry.runs()[0].uuid) if e.kind in NAMES]
    assert len({e.kind for e in found}) == len(found), "every rule fires once"
    return {event.kind: event for event in found}


def problems(house: House, folder: Path, answer: str) -> str:
    """The house's problems with one worked solution for all of them."""
    folder.mkdir()
    shutil.copy(house.data / "test.jsonl", folder / "test.jsonl")
    lines = [json.loads(line) for line in (house.data / "train.jsonl").read_text().splitlines()]
    rows = [json.dumps({**line, "answer": answer}) for line in lines]
    (folder / "train.jsonl").write_text("\n".join(rows) + "\n")
    return str(folder)


@pytest.mark.slow
def test_a_healthy_run_raises_no_alarm(house: House) -> None:
    house.sft(*TRAINED, "--lr", "1e-2", "--prompt", "question_only")
    assert alarms(house) == {}


@pytest.mark.slow
def test_a_learning_rate_a_thousand_times_too_high(house: House) -> None:
    result = house.run("run", "sft", *house.small, *FAST, "--lr", "3")
    assert result.exit_code == 0, result.output
    event = alarms(house)["loss_diverged"]
    assert event.severity == "warning"
    assert event.step == 11
    assert min(event.data["losses"]) > event.data["before"] + 1
    assert set(event.data["batch"]) <= {f"data-train-{i:05d}" for i in range(40)}
    shown = " ".join(result.output.split())
    assert (
        f"step 11: loss stays above where it was: at least {min(event.data['losses']):.3g}" in shown
    )
    assert "lower --lr" in shown
    assert "! warning at step 11: loss stays above" in shown.partition("finished")[2]
    (run,) = registry_of(house).runs()
    told = house.json("diagnose", run.id)["alarms"]
    assert [a for a in told if a.startswith("warning at step 11: loss stays above")]


@pytest.mark.slow
def test_nearly_every_step_clipped(house: House) -> None:
    house.sft(*FAST, "--set", "train.clip_norm=0.05")
    event = alarms(house)["clipped"]
    assert event.data["share"] == 1
    assert event.data["median"] > 50 * event.data["clip_norm"]
    assert "100% of the last 20 steps were clipped" in event.message


@pytest.mark.slow
def test_updates_that_the_weights_swallow(house: House) -> None:
    run_id = house.sft(*FAST, "--steps", "6", "--lr", "1e-12")
    event = alarms(house)["update_swallowed"]
    assert min(event.data["shares"]) > 0.99
    registry = registry_of(house)
    points = registry.metrics(registry.find_run(run_id).uuid)["unchanged_share"]
    assert [p.step for p in points] == event.data["steps"]


@pytest.mark.slow
def test_a_constant_answer(house: House, tmp_path: Path) -> None:
    data = problems(house, tmp_path / "constant", "5\n#### 5")
    house.sft(*TRAINED, "--data", data, "--lr", "1e-2")
    event = alarms(house)["one_answer"]
    assert (event.data["answer"], event.data["share"], event.data["share_right"]) == ("5", 1, 0)
    assert event.data["responses"]["constant-test-00000/0"].endswith("</answer>")
    assert "constant-test-00000/0" in event.message


@pytest.mark.slow
def test_targets_that_never_end(house: House) -> None:
    """No stop string, and EOS is not trained: the model was able to end, and loses it."""
    options = (*TRAINED, "--lr", "1e-2", "--prompt", "question_only")
    first = house.sft(*options)
    assert alarms(house) == {}
    again = [o for o in house.small if o not in ("--model", str(house.model))]
    again += ["--init", first, *options, "--steps", "40", "--set", "train.supervise_eos=false"]
    house.json("run", "sft", *again, "--set", "evaluation.at_start=true", "--quiet")
    event = alarms(house)["into_the_cap"]
    assert event.data["at_cap_share"] >= event.data["at_cap_share_before"] + 0.1
    assert len(event.data["responses"]) == 5


@pytest.mark.slow
def test_a_cap_that_no_response_leaves_is_said_and_stops_nothing(house: House) -> None:
    house.sft("--on-alarm", "stop")
    assert set(alarms(house)) == {"at_the_cap"}


@pytest.mark.slow
def test_values_that_are_not_finite_stop_a_run_that_only_warns(house: House) -> None:
    result = house.run("run", "sft", *house.small, *FAST, "--lr", "1e20")
    assert result.exit_code == 1
    (run,) = registry_of(house).runs()
    assert run.status == "failed"
    assert "step 2: loss is nan" in (run.exit_reason or "")
    assert alarms(house)["not_finite"].severity == "error"


@pytest.mark.slow
def test_stop_ends_the_run_where_the_alarm_is(house: House) -> None:
    result = house.run("run", "sft", *house.small, *FAST, "--lr", "3", "--on-alarm", "stop", "-q")
    assert result.exit_code == 1
    registry = registry_of(house)
    (run,) = registry.runs()
    assert run.status == "failed"
    assert "step 11: loss stays above where it was" in (run.exit_reason or "")
    assert registry.metrics(run.uuid)["loss"][-1].step == 11


@pytest.mark.slow
def test_evidence_from_a_model_is_no_markup_and_no_escape_code(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.engines.base import Completion, FinishReason
    from core.engines.hf import HfEngine

    hostile = "\x1b[2J[bold red]x</think> <answer> [blink]7\x1b]0;t\x07 </answer>"
    answer = [Completion(hostile, (1, 2, 3), FinishReason.STOP_STRING)]
    monkeypatch.setattr(HfEngine, "generate", lambda self, prompts, *_: [answer for _ in prompts])
    result = house.run("run", "sft", *house.small, "--steps", "2")
    assert result.exit_code == 0, result.output
    event = alarms(house)["one_answer"]
    assert "[blink]7" in event.data["responses"]["data-test-00000/0"]
    shown = house.run("show", registry_of(house).runs()[0].id)
    assert "give the answer" in " ".join(shown.output.split())
    for output in (result.output, shown.output):
        assert "\x1b" not in output
        assert "\x07" not in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--on-alarm", "panic"), "'warn', 'stop' or 'rollback'"),
        (("--keep-best", "-1"), "train.keep_best"),
        (("--keep-last", "0"), "train.keep_last"),
    ],
)
def test_bad_settings_are_one_sentence(
    house: House, arguments: tuple[str, ...], message: str
) -> None:
    result = house.run("run", "sft", *house.small, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
