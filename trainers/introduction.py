"""What a run tells of itself as it begins: what it is made of, and what asks for care."""

from core.file_systems import network_hint
from core.provenance import collect_provenance
from core.reproduction.surroundings import differences, shown
from trainers.distributed.checks import processes
from trainers.observer import Severity
from trainers.stage import Stage


def report_parts(stage: Stage) -> None:
    """Tell of the engine, the processes, the origin, filters, and what asks for care."""
    _report_processes(stage)
    engine = stage.prepared.engine
    text = f"evaluation engine: {engine.reason}"
    stage.event(Severity.INFO, "engine", text)
    if (hint := network_hint(stage.registry.database.path)) is not None:
        stage.event(Severity.WARNING, "network_file_system", hint)
    if stage.resuming:
        _report_surroundings(stage)
    else:
        _report_origin(stage)
    kept, selected = len(stage.prepared.train), stage.prepared.selected
    if stage.config.data.filter != "none" and selected:
        text = f"filter {stage.config.data.filter} keeps {kept} of {selected} examples"
        stage.event(Severity.INFO, "filter", text)
    evaluation = stage.config.evaluation
    if evaluation.split.startswith("test") and evaluation.every is not None:
        text = (
            "intermediate evaluations use the test split: a step chosen by them is chosen on test"
        )
        stage.event(Severity.WARNING, "selected_on_test", text)


def _report_surroundings(stage: Stage) -> None:
    """What is not as it was when the run began: its provenance says only that."""
    recorded = stage.registry.provenance(stage.run.uuid)
    found = differences(recorded, collect_provenance(()).to_json())
    if found:
        text = "; ".join(f"{d.name} {shown(d.recorded)} -> {shown(d.now)}" for d in found)
        text = f"goes on where not everything is as it was: {text}"
        stage.event(Severity.WARNING, "surroundings", text)


def _report_origin(stage: Stage) -> None:
    origin = stage.prepared.origin
    if origin.told is not None:
        stage.event(Severity.INFO, "started_from", origin.told)
    if origin.selected_on_test:
        text = (
            "selected on test: accuracies on the test split chose these weights, or some that "
            "they descend from, so they look better there than they are; a run that evaluates "
            "with --split dev can choose without that"
        )
        stage.event(Severity.WARNING, "selected_on_test", text)


def _report_processes(stage: Stage) -> None:
    now = processes(stage.config)
    before = stage.run.config.get("train", {}).get("gpus", 1) if stage.resuming else now
    if now == before == 1:
        return
    text = f"processes that train together on {stage.prepared.device}: {now}"
    if now != before:
        text = f"{text} (before: {before})"
        stage.keep_choice(stage.config)
    stage.event(Severity.INFO, "processes", f"{text}{_place_of_engine(stage)}")


def _place_of_engine(stage: Stage) -> str:
    if stage.prepared.device == "cpu" or stage.world.size == 1:
        return ""
    own = stage.world.engine_device
    if own is None:
        return "; the evaluation engine shares the GPU of the first"
    return f"; the evaluation engine has GPU {own} for itself"
