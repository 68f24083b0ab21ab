"""Probes of one evaluation: find its weights, start the engine, ask again, store what was found."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.config.schema import EvaluationSettings, RunConfig
from core.engines.base import GenerationProgress, InferenceEngine, Sampling
from core.engines.gpu_options import ON_CPU
from core.engines.select import build_engine, choose_engine
from core.probing.closing import CLOSE_TOKENS, STOP
from core.probing.findings import find
from core.probing.generation import Asker, ProbeTarget, finish_answers, regenerate
from core.probing.names import ProbeKind
from core.probing.words import diverged_sentence, probe_event
from core.registry.afterwards import check_addable
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.probes import keep_probes
from core.registry.records import EvaluationRecord
from core.registry.run_folders import journal_folder
from core.registry.store import Registry
from core.workspace import Workspace
from trainers.engine_seat import seat_alone
from trainers.observer import Observer, Severity
from trainers.policy import choose_device
from trainers.probe_setup import ProbePlan, Ready, longest_sequence, prepare_probe

_GENERATION_ROOM = 16


def probe(
    plan: ProbePlan, workspace: Workspace, registry: Registry, observer: Observer
) -> list[ProbeRecord]:
    """Ask again, and store each kind of probe as soon as it is done.

    Args:
        plan: What to ask; `core.probing.targets` has checked that it applies.
        workspace: Where checkpoints are.
        registry: Where the responses are, and the probes go.
        observer: Told how far it is.

    Returns:
        The probes with their texts.

    Raises:
        UserError: weights or data are gone, a cap does not fit, the engine cannot be had, or a
            process records the run.
        EngineError: the engine failed; the probes of a kind that was done are stored.
    """
    folder = journal_folder(workspace, plan.run)
    check_addable(registry, plan.run, folder)
    ready = prepare_probe(plan, workspace, registry, observer)
    engine = _start(plan, ready, observer)
    try:
        asker = Asker(
            engine,
            ready.tokenizer,
            ready.template.placeholders,
            ready.config.evaluation.grader_time_limit,
        )
        found = []
        for kind in ready.targets:
            made = _ask(kind, plan, ready, asker, observer)
            _store(plan, made, registry, folder, observer)
            found += made
        return found
    finally:
        engine.close()


def _start(plan: ProbePlan, ready: Ready, observer: Observer) -> InferenceEngine:
    config, protocol = ready.config, plan.evaluation.protocol
    device = choose_device(plan.device or config.model.device)
    choice = choose_engine(plan.engine or protocol["engine"], device)
    observer.phase(f"starting the engine {choice.name}")
    tokens = min(ready.positions, longest_sequence(plan, ready) + _GENERATION_ROOM)
    gpu = ON_CPU
    if device != "cpu":
        alone = config.model_copy(update={"evaluation": _evaluation_of(config, protocol)})
        gpu = seat_alone(alone, ready.folder, choice.name, tokens).options
    return build_engine(
        choice,
        ready.folder,
        dtype=protocol["dtype"],
        device=device,
        seed=config.sampling_seed,
        max_model_len=tokens,
        gpu=gpu,
    )


def _evaluation_of(config: RunConfig, protocol: Mapping[str, Any]) -> EvaluationSettings:
    """The run's settings, with precision and cap of the evaluation that is asked again."""
    told = {name: protocol[name] for name in ("dtype", "max_tokens")}
    return config.evaluation.model_copy(update=told)


def _ask(
    kind: ProbeKind, plan: ProbePlan, ready: Ready, asker: Asker, observer: Observer
) -> list[ProbeRecord]:
    targets, sampling = ready.targets[kind], _sampling(plan.evaluation)

    def progress(done: int, total: int) -> None:
        observer.evaluation_progress(plan.evaluation.step, done, total)

    started = time.perf_counter()
    if kind is ProbeKind.CLOSE:
        observer.phase(f"closing {len(targets)} answers")
        made = {CLOSE_TOKENS: _close(asker, targets, sampling, progress)}
    else:
        observer.phase(f"making {len(targets)} responses again")
        made = regenerate(asker, targets, plan.caps, sampling, progress)
    seconds = time.perf_counter() - started
    return [
        ProbeRecord(
            kind=kind,
            cap=cap,
            time=time.time(),
            eligible=len(plan.wanted[kind]),
            engine=asker.engine.name,
            engine_version=asker.engine.version,
            dtype=asker.engine.dtype,
            seconds=seconds,
            responses=responses,
        )
        for cap, responses in made.items()
    ]


def _close(
    asker: Asker,
    targets: Sequence[ProbeTarget],
    sampling: Sampling,
    progress: GenerationProgress,
) -> tuple[ProbedResponse, ...]:
    short = replace(sampling, max_tokens=CLOSE_TOKENS, min_tokens=0, stop=(STOP,))
    return finish_answers(asker, targets, short, progress)


def _sampling(evaluation: EvaluationRecord) -> Sampling:
    """The evaluation's own decoding settings, for one completion per request."""
    fields = evaluation.protocol
    return Sampling(
        temperature=fields["temperature"],
        top_p=fields["top_p"],
        max_tokens=fields["max_tokens"],
        min_tokens=fields["min_tokens"],
        stop=tuple(fields["stop"]),
        seed=fields["seed"],
    )


def _store(
    plan: ProbePlan,
    probes: Sequence[ProbeRecord],
    registry: Registry,
    folder: Path | None,
    observer: Observer,
) -> None:
    found = [find(probe, plan.responses, plan.grader) for probe in probes]
    events = [
        probe_event(plan.evaluation, probe, result, plan.grader)
        for probe, result in zip(probes, found, strict=True)
    ]
    keep_probes(registry, plan.run, folder, plan.evaluation.uuid, probes, events)
    if found[-1].diverged:
        text = diverged_sentence(found[-1], plan.evaluation, probes[-1])
        observer.event(Severity.WARNING, text, plan.evaluation.step)
