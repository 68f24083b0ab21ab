"""What a recorder writes comes back: metrics, evaluations, events and artifacts."""

import math
from pathlib import Path

import pytest

from core.registry.recorder import Recorder
from core.registry.store import Registry
from tests.core.registry.conftest import answer, evaluation_result


def test_metrics_come_back_with_their_summary(registry: Registry, run: str, folder: Path) -> None:
    with Recorder(registry, run, folder) as recorder:
        for step in range(1, 101):
            recorder.metrics(step, {"loss": 1 / step, "lr": 0.1})
    points = registry.metrics(run)["loss"]
    assert [p.step for p in points] == list(range(1, 101))
    assert points[3].value == 0.25
    summary = registry.metric_summaries([run])[run]["loss"]
    assert (summary.last, summary.last_step) == (0.01, 100)
    assert (summary.highest, summary.highest_step) == (1.0, 1)
    assert registry.metrics(run, ["lr"]).keys() == {"lr"}
    assert registry.last_steps([run]) == {run: 100}


def test_values_that_are_not_finite_are_what_they_are(
    registry: Registry, run: str, folder: Path
) -> None:
    values = [math.nan, math.inf, -math.inf, 0.0, 5e-324, 1.7976931348623157e308, 0.1]
    with Recorder(registry, run, folder) as recorder:
        for step, value in enumerate(values):
            recorder.metrics(step, {"x": value})
    stored = [point.value for point in registry.metrics(run)["x"]]
    assert [repr(value) for value in stored] == [repr(value) for value in values]
    summary = registry.metric_summaries([run])[run]["x"]
    assert (summary.lowest, summary.highest) == (0.0, 1.7976931348623157e308)


def test_a_summary_whose_last_value_is_nan_says_nan(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        recorder.metrics(1, {"x": math.nan})
    summary = registry.metric_summaries([run])[run]["x"]
    assert math.isnan(summary.last)
    assert summary.lowest is None


def test_a_value_that_is_no_number_is_refused_at_once(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder, pytest.raises(ValueError, match="high"):
        recorder.metrics(1, {"loss": "high"})  # type: ignore[dict-item]


def test_a_new_segment_supersedes_what_came_after_its_start(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        for step in range(1, 11):
            recorder.metrics(step, {"loss": 100.0 + step, "rare": 1.0 * (step % 5)})
        recorder.begin_segment(6)
        for step in (7, 8):
            recorder.metrics(step, {"loss": float(step)})
    loss = {p.step: p.value for p in registry.metrics(run)["loss"]}
    assert loss == {**{s: 100.0 + s for s in range(1, 7)}, 7: 7.0, 8: 8.0}
    assert [p.step for p in registry.metrics(run)["rare"]] == list(range(1, 7))
    summary = registry.metric_summaries([run])[run]
    assert (summary["loss"].highest, summary["loss"].last_step) == (106.0, 8)
    assert summary["rare"].last_step == 6
    assert registry.last_steps([run]) == {run: 8}


def test_a_rollback_behind_an_earlier_resume_supersedes_both(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        for start, steps in ((None, range(1, 11)), (8, range(9, 13)), (3, range(4, 6))):
            if start is not None:
                recorder.begin_segment(start)
            for step in steps:
                recorder.metrics(step, {"loss": step + 100.0 * (start or 0)})
    found = {p.step: p.value for p in registry.metrics(run)["loss"]}
    assert found == {1: 1.0, 2: 2.0, 3: 3.0, 4: 304.0, 5: 305.0}


def test_superseded_evaluations_are_hidden(registry: Registry, run: str, folder: Path) -> None:
    with Recorder(registry, run, folder) as recorder:
        for step in (0, 4, 8):
            recorder.evaluation(evaluation_result([answer(1)], step=step))
        recorder.begin_segment(4)
        assert [e.step for e in registry.evaluations([run])] == [0, 4]
        recorder.evaluation(evaluation_result([answer(42)], step=8))
    found = registry.evaluations([run])
    assert [(e.step, e.accuracy) for e in found] == [(0, 0.0), (4, 0.0), (8, 1.0)]
    assert registry.headlines([run])[run].accuracy == 1.0


def test_of_one_step_split_and_protocol_the_newest_evaluation_counts(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        recorder.evaluation(evaluation_result([answer(1)], step=4))
        recorder.evaluation(evaluation_result([answer(42)], step=4))
    assert [e.accuracy for e in registry.evaluations([run])] == [1.0]


def test_an_evaluation_keeps_every_response_and_grade(
    registry: Registry, run: str, folder: Path
) -> None:
    texts = [answer(42), answer(7), " never closes <answer> 42", "\x1b[31m[bold]\x00 é 𝄞 \u202e"]
    with Recorder(registry, run, folder) as recorder:
        uuid = recorder.evaluation(evaluation_result(texts, step=3))
    (evaluation,) = registry.evaluations([run])
    assert (evaluation.uuid, evaluation.step, evaluation.n) == (uuid, 3, 4)
    assert evaluation.accuracy == 0.25
    assert evaluation.grader == "r1_zero"
    assert evaluation.protocol["temperature"] == 0.0
    assert evaluation.lengths["response"]["mean"] == 7.0
    assert evaluation.tokens_per_second == 20.0
    assert evaluation.format_gap == 0.25, "the unclosed response holds the right number last"
    responses = registry.responses(uuid)
    assert [r.text for r in responses] == texts
    assert [r.problem_id for r in responses] == ["p-0", "p-1", "p-2", "p-3"]
    assert responses[0].grades["r1_zero"].right
    assert responses[0].grades["r1_zero"].failure is None
    assert responses[1].grades["r1_zero"].failure == "wrong_number"
    assert responses[1].grades["strict"].extracted.strip() == "7"
    assert "right_by_last_number" in responses[2].flags
    assert (responses[2].closed, responses[2].tokens, responses[2].think_tokens) == (False, 7, 4)
    right = registry.right_by_problem(uuid, "r1_zero")
    assert right == {"p-0": True, "p-1": False, "p-2": False, "p-3": False}
    assert registry.right_by_problem(uuid, "lenient")["p-2"]
    assert registry.solved_questions(run) == {"Question 0?"}
    protocol = registry.run_by_uuid(run).protocol_hash
    assert protocol == f"{evaluation.generation}:{evaluation.grading}"


def test_problems_and_protocols_are_stored_once(registry: Registry, run: str, folder: Path) -> None:
    with Recorder(registry, run, folder) as recorder:
        for step in range(3):
            recorder.evaluation(evaluation_result([answer(1), answer(2)], step=step))
    assert registry.database.read("SELECT COUNT(*) FROM problem") == [(2,)]
    assert registry.database.read("SELECT COUNT(*) FROM protocol") == [(1,)]


def test_lone_surrogates_are_recorded_as_visible_escapes(
    registry: Registry, run: str, folder: Path
) -> None:
    with Recorder(registry, run, folder) as recorder:
        uuid = recorder.evaluation(evaluation_result(["bad \ud800 text"]))
        recorder.event("info", "odd", "\udfff", data={"\ud800": {"nested": ["\ud801"]}})
    assert registry.responses(uuid)[0].text == "bad \\ud800 text"
    event = registry.events(run)[-1]
    assert (event.message, event.data) == ("\\udfff", {"\\ud800": {"nested": ["\\ud801"]}})


def test_events_and_artifacts(registry: Registry, run: str, folder: Path) -> None:
    with Recorder(registry, run, folder) as recorder:
        checkpoint = folder / "checkpoints" / "step-4"
        checkpoint.mkdir(parents=True)
        (checkpoint / "weights").write_bytes(b"abc")
        (checkpoint / "state").write_bytes(b"de")
        recorder.artifact("checkpoint", checkpoint)
        recorder.artifact("gone", folder / "never-there")
        recorder.event("warning", "spike", "loss jumped", step=4, data={"loss": math.inf})
        with pytest.raises(ValueError, match="subpath"):
            recorder.artifact("outside", folder.parent.parent)
    (artifact,) = registry.artifacts(run)
    assert (artifact.path, artifact.bytes, len(artifact.sha256)) == ("checkpoints/step-4", 5, 64)
    (event,) = registry.events(run)
    assert (event.severity, event.kind, event.step) == ("warning", "spike", 4)
    assert event.data == {"loss": "inf"}, "any JSON reader can take it"


def test_what_is_said_once_is_held_once_however_often_a_run_begins_again(
    registry: Registry, run: str, folder: Path
) -> None:
    for _ in range(2):
        with Recorder(registry, run, folder) as recorder:
            recorder.event("info", "round", "round 1", step=1, data={"kept": 3}, once=True)
            recorder.event("info", "resumed", "behind step 0", step=0)
    with Recorder(registry, run, folder) as recorder:
        recorder.event("info", "round", "round 1", step=1, data={"kept": 4}, once=True)
    events = registry.events(run)
    assert [e.data for e in events if e.kind == "round"] == [{"kept": 3}, {"kept": 4}]
    assert len([e for e in events if e.kind == "resumed"]) == 2


@pytest.mark.slow
def test_an_artifact_whose_hash_is_known_is_not_read(
    registry: Registry, run: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.registry.recorder.describe", None)
    with Recorder(registry, run, folder) as recorder:
        recorder.artifact("checkpoint", folder / "checkpoints" / "step-4", (5, "0a" * 32))
    (artifact,) = registry.artifacts(run)
    assert (artifact.path, artifact.bytes, artifact.sha256) == ("checkpoints/step-4", 5, "0a" * 32)
