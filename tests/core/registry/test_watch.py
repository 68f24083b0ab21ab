"""What moved in a registry is found for little, and nothing is missed."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.registry.courses import accuracy_courses
from core.registry.labels import relabel
from core.registry.recorder import Recorder
from core.registry.records import NewRun
from core.registry.response_lines import response_lines, search_responses, whole_response
from core.registry.store import Registry, open_registry
from core.registry.stretches import stretches
from core.registry.watch import RegistryWatch, run_marks, run_signs
from tests.a5ctl import handmade
from tests.a5ctl.handmade import right, unclosed, wrong

NEW = NewRun("sft", {"kind": "sft"}, "c0", "builtin", "d")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return handmade.open_home(tmp_path)


def test_a_watch_sees_commits_of_others_and_nothing_else(
    registry: Registry, tmp_path: Path
) -> None:
    watch = RegistryWatch(registry.database)
    assert watch.changed()
    assert not watch.changed()
    run = registry.create_run(NEW)
    assert watch.changed()
    signs = run_signs(registry.database)
    relabel(registry.database, run, tmp_path / "none", lambda labels: replace(labels, note="new"))
    assert watch.changed()
    assert run_signs(registry.database) != signs
    assert not watch.changed()


def test_a_watch_sees_a_registry_come_go_and_be_replaced(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    registry = open_registry(url, create=False)
    watch = RegistryWatch(registry.database)
    assert watch.changed()
    assert not watch.changed()
    open_registry(url).close()
    assert watch.changed()
    for path in tmp_path.glob("registry.db*"):
        path.unlink()
    assert watch.changed()
    watch.close()


def test_every_entry_of_a_run_moves_its_sign_and_its_marks(
    registry: Registry, tmp_path: Path
) -> None:
    run, other = registry.create_run(NEW), registry.create_run(NEW)
    before = run_signs(registry.database)
    marks = [run_marks(registry.database, run.uuid)]
    with Recorder(registry, run.uuid, tmp_path / run.id) as recorder:
        for record in (
            lambda: recorder.metrics(3, {"loss": 1.0}),
            lambda: recorder.event("info", "kind", "message"),
            lambda: recorder.evaluation(handmade.evaluation([right(10)])),
            lambda: recorder.begin_segment(2),
        ):
            record()
            recorder.flush()
            now = run_signs(registry.database)
            assert now[run.uuid] != before[run.uuid]
            assert now[other.uuid] == before[other.uuid]
            marks.append(run_marks(registry.database, run.uuid))
            before = now
    assert len(set(marks)) == len(marks)
    assert run_marks(registry.database, "unknown").last_step == -1


def test_a_stretch_holds_visible_points_between_two_steps_with_their_times(
    registry: Registry, tmp_path: Path
) -> None:
    run = registry.create_run(NEW)
    with Recorder(registry, run.uuid, tmp_path / run.id) as recorder:
        for step in range(1, 21):
            recorder.metrics(step, {"loss": float(step), "lr": float("nan")})
        recorder.begin_segment(10)
        recorder.metrics(11, {"loss": -1.0})
    every = stretches(registry.database, run.uuid, ["loss", "lr", "none"], (0, 100), 200)
    assert [(p.step, p.value) for p in every["loss"]] == [
        *((step, float(step)) for step in range(1, 11)),
        (11, -1.0),
    ]
    assert every["lr"][0].nonfinite == 1
    assert every["lr"][0].value is None
    assert "none" not in every
    times = [point.time for point in every["loss"]]
    assert times == sorted(times)
    part = stretches(registry.database, run.uuid, ["loss"], (3, 10), 4)["loss"]
    assert [(p.step, p.value, p.lowest, p.highest, p.count) for p in part] == [
        (4, 3.5, 3.0, 4.0, 2),
        (6, 5.5, 5.0, 6.0, 2),
        (8, 7.5, 7.0, 8.0, 2),
        (10, 9.5, 9.0, 10.0, 2),
    ]


def test_lines_of_responses_say_what_the_whole_ones_say(registry: Registry, tmp_path: Path) -> None:
    answers = [right(10), wrong(11), unclosed(12), right(13)]
    run = handmade.record(tmp_path, "sft-a", [handmade.evaluation(answers, samples=2)])
    handmade.record(tmp_path, "sft-b", [handmade.evaluation(answers[:2])])
    (evaluation,) = registry.evaluations([run.uuid])
    whole = registry.responses(evaluation.uuid)
    for grader in ("r1_zero", "lenient"):
        pieces = response_lines(registry.database, evaluation.uuid, grader)
        lines = [line for piece in pieces for line in piece]
        assert [(x.problem, x.sample, x.truth, x.tokens, x.finish) for x in lines] == [
            (r.problem_id, r.sample, r.truth, r.tokens, r.finish) for r in whole
        ]
        assert [(x.formatted, x.right, x.extracted, x.failure) for x in lines] == [
            (g.formatted, g.right, g.extracted, g.failure)
            for g in (r.grades[grader] for r in whole)
        ]
    assert [whole_response(registry, line.key) for line in lines] == whole
    assert whole_response(registry, 10**9) is None
    keys = [line.key for line in lines]
    ((done, hits),) = search_responses(registry.database, keys, "SO it is 12")
    assert (done, hits) == (4, [keys[1], keys[2]])  # 11 + 1, and 12 unclosed


def test_a_course_holds_evaluations_that_ask_the_same_as_the_last(
    registry: Registry, tmp_path: Path
) -> None:
    other = handmade.protocol(max_tokens=9)
    run = handmade.record(
        tmp_path,
        "sft-a",
        [
            handmade.evaluation([right(10), wrong(11)], step=0),
            handmade.evaluation([right(10), right(11)], step=5, protocol=other),
            handmade.evaluation([right(10), right(11)], step=9),
        ],
    )
    assert accuracy_courses(registry.database, [run.uuid]) == {run.uuid: [(0, 0.5), (9, 1.0)]}
