"""Warnings of a run where its figures are looked at."""

from pathlib import Path

from a5ctl.tables.alarmed import alarm_lines
from core.registry.recorder import Recorder
from core.workspace import Workspace
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from tests.a5ctl.handmade import evaluation, right, wrong


def test_what_was_said_often_is_one_line_and_the_rest_is_counted(tmp_path: Path) -> None:
    course = [evaluation([right(10), wrong(11)], step=step) for step in (0, 9)]
    run = handmade.record(tmp_path, "sft-2-aaaa", course)
    registry = handmade.open_home(tmp_path)
    with Recorder(registry, run.uuid, Workspace(tmp_path).run_folder(run.id)) as recorder:
        recorder.event("info", "threads", "two threads")
        recorder.event("warning", "preflight.closing", "targets never close")
        for step in (3, 6, 9):
            recorder.event("warning", "checkpoint_failed", f"no room at {step}", step=step)
        recorder.event("warning", "entropy", "low", step=5)
        for step, kind in ((7, "loss_spike"), (8, "clipped")):
            recorder.event("error", kind, f"{kind} [red]x[/red]", step=step)
    registry.close()
    house = House(tmp_path, tmp_path, tmp_path)
    assert house.json("diagnose", "sft-2-aaaa")["alarms"] == [
        "error at step 7: loss_spike [red]x[/red]",
        "error at step 8: clipped [red]x[/red]",
        "warning: targets never close",
        "2 more of them: a5ctl show sft-2-aaaa",
    ]
    shown = house.run("diagnose", "sft-2-aaaa").output
    assert "! error at step 7: loss_spike [red]x[/red]" in shown, "no markup"
    before = house.json("diagnose", "sft-2-aaaa", "--step", "0")["alarms"]
    assert before == ["warning: targets never close"]
    registry = handmade.open_home(tmp_path)
    until = alarm_lines(registry, registry.find_run("sft-2-aaaa"), until=6)
    assert until == (
        *before,
        "warning at step 3, 2 times, the last at step 6: no room at 3",
        "warning at step 5: low",
    )
