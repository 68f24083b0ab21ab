"""What a probe needs before an engine starts: weights, prompts, and room for the new texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config.load import build_config
from core.config.schema import RunConfig
from core.engines.base import FinishReason
from core.errors import UserError
from core.models import encode_prompt, load_config, load_tokenizer
from core.probing.closing import CLOSE_TOKENS
from core.probing.generation import ProbeTarget, continued_ids
from core.probing.names import ProbeKind
from core.prompts.template import PromptTemplate
from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
from core.registry.store import Registry
from core.responses.names import GraderName
from core.workspace import Workspace
from trainers.evaluated import asked_prompts, evaluated_weights
from trainers.observer import Observer, Severity


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What to ask.

    Attributes:
        run: Whose evaluation it is.
        evaluation: The evaluation.
        responses: All its responses.
        wanted: Which of them each probe looks at; a kind that is not asked for is missing.
        caps: Larger caps, ascending; empty unless responses are made again.
        limit: Probe only so many responses per kind; all when None.
        grader: Decides what counts as right in the event that tells of it.
        engine: Another engine than the evaluation's.
        device: Another device than the run's.
    """

    run: RunRecord
    evaluation: EvaluationRecord
    responses: Sequence[StoredResponse]
    wanted: Mapping[ProbeKind, Sequence[StoredResponse]]
    caps: tuple[int, ...]
    limit: int | None
    grader: GraderName
    engine: str | None = None
    device: str | None = None


@dataclass(slots=True)
class Ready:
    """What is known once weights and prompts are found.

    Attributes:
        targets: What each probe asks again.
        positions: Tokens that the model reads at most, prompt and response together.
    """

    config: RunConfig
    folder: Path
    tokenizer: Any
    template: PromptTemplate
    targets: dict[ProbeKind, list[ProbeTarget]]
    positions: int


def prepare_probe(
    plan: ProbePlan, workspace: Workspace, registry: Registry, observer: Observer
) -> Ready:
    """Find what the evaluation was made from, and check that the new texts fit.

    Raises:
        UserError: weights or data are gone or have changed, or a cap does not fit.
    """
    ready = _find(plan, workspace, registry)
    _check_room(plan, ready)
    _leave_out_full(plan, ready, observer)
    return ready


def longest_sequence(plan: ProbePlan, ready: Ready) -> int:
    """Tokens of prompt and new text together, at most."""
    needs = [_closing_need(ready, t) for t in ready.targets.get(ProbeKind.CLOSE, ())]
    needs += [
        len(t.prompt_ids) + max(plan.caps) for t in ready.targets.get(ProbeKind.MAX_TOKENS, ())
    ]
    return max(needs)


def _find(plan: ProbePlan, workspace: Workspace, registry: Registry) -> Ready:
    run, evaluation = plan.run, plan.evaluation
    config = build_config(run.config, f"stored config of run {run.id}")
    folder = evaluated_weights(run, evaluation, config, workspace, registry).path
    prompts = asked_prompts(run, evaluation, plan.responses, config)
    tokenizer = load_tokenizer(folder)
    places = {name: index for index, name in enumerate(prompts)}

    def target(response: StoredResponse) -> ProbeTarget:
        ids = tuple(encode_prompt(tokenizer, prompts[response.problem_id]))
        return ProbeTarget(
            response.problem_id,
            response.sample,
            response.question,
            response.truth,
            places[response.problem_id],
            ids,
            response.text,
            FinishReason(response.finish),
        )

    protocol = evaluation.protocol
    return Ready(
        config,
        folder,
        tokenizer,
        PromptTemplate(protocol["prompt_name"], protocol["prompt_text"]),
        {kind: [target(r) for r in rows[: plan.limit]] for kind, rows in plan.wanted.items()},
        _positions(folder),
    )


def _positions(folder: Path) -> int:
    config = load_config(folder)
    return int(config.get_text_config().max_position_embeddings)


def _check_room(plan: ProbePlan, ready: Ready) -> None:
    targets = ready.targets.get(ProbeKind.MAX_TOKENS)
    if not targets:
        return
    longest = max(targets, key=lambda t: len(t.prompt_ids))
    room = ready.positions - len(longest.prompt_ids)
    own = plan.evaluation.protocol["max_tokens"]
    largest = f"the largest possible cap is {room}" if room > own else f"no cap above {own} fits"
    if max(plan.caps) > room:
        raise UserError(
            f"--max-tokens {max(plan.caps)} does not fit: the model reads {ready.positions:,} "
            f"tokens, and the prompt of problem {longest.problem_id} has "
            f"{len(longest.prompt_ids):,}; {largest}"
        )


def _leave_out_full(plan: ProbePlan, ready: Ready, observer: Observer) -> None:
    """Responses that fill the model's context cannot be continued."""
    targets = ready.targets.get(ProbeKind.CLOSE)
    if not targets:
        return
    fitting = [t for t in targets if _closing_need(ready, t) <= ready.positions]
    if not fitting:
        raise UserError(
            f"none of the {len(targets)} unclosed responses leaves room to close its answer: the "
            f"model reads {ready.positions:,} tokens; evaluate with a smaller --max-tokens"
        )
    ready.targets[ProbeKind.CLOSE] = fitting
    if len(fitting) < len(targets):
        text = f"{len(targets) - len(fitting)} unclosed responses fill the model's context of "
        text += f"{ready.positions:,} tokens and are left out"
        observer.event(Severity.WARNING, text, plan.evaluation.step)


def _closing_need(ready: Ready, target: ProbeTarget) -> int:
    return len(continued_ids(ready.tokenizer, target)) + CLOSE_TOKENS
