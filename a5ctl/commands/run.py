"""`a5ctl run sft` and `a5ctl run eval`: fine-tune a model on worked solutions, or only evaluate."""

from typing import Annotated, Any

import typer

from a5ctl.run_command import Call, Given, launch, takes, trains
from a5ctl.run_settings import (
    ASKED,
    BATCH_SIZE,
    COMMON,
    COURSE,
    EPOCHS,
    EVAL,
    EVALUATION,
    GPUS,
    LABELS,
    LEARNING_RATE,
    MATERIAL,
    MAX_LENGTH,
    NUMERICS,
    PLACEMENT,
    STEPS,
    SUPERVISE,
    TOKENS,
    WHILE_TRAINING,
)

FILTER = {
    "filter_": Annotated[
        str | None,
        typer.Option(
            "--filter",
            help="correct: targets that grade right. solved-by RUN: problems it solved.",
            rich_help_panel=COMMON,
        ),
    ],
    "solved_run": Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="With --filter solved-by: the run that decides."),
    ],
}


def _filtered(filter_: str | None, solved_run: str | None) -> dict[str, Any]:
    from a5ctl.cells import parse_filter

    name, run = parse_filter(filter_, solved_run)
    return {"data.filter": name, "data.solved_by": run}


@trains(
    "sft",
    *MATERIAL,
    *LEARNING_RATE,
    EPOCHS,
    STEPS,
    TOKENS,
    BATCH_SIZE,
    SUPERVISE,
    MAX_LENGTH,
    GPUS,
    *NUMERICS,
    *COURSE,
    *WHILE_TRAINING,
    PLACEMENT,
    *EVALUATION,
    *LABELS,
    own=FILTER,
    derive=_filtered,
)
def sft() -> None:
    """Fine-tune a model on worked solutions, evaluate it, and record everything.

    Several sizes or seeds make the product of runs under one group.

    Examples:

        a5ctl run sft --size 256

        a5ctl run sft --size 128,256,full --seed 0,1,2

        a5ctl run sft --data path/to/gsm8k --model Qwen/Qwen2.5-Math-1.5B --lr 1e-5

        a5ctl run sft --model Qwen/Qwen2.5-Math-1.5B --precision stochastic

        a5ctl run sft --model Qwen/Qwen2.5-Math-1.5B --attention varlen --compile on

        a5ctl run sft --engine vllm --placement shared --gpu-memory-utilization 0.4
    """


@takes(*ASKED, *EVALUATION, *LABELS)
def evaluate(
    call: Call,
    given: Given,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN[:STEP|last|best]",
            help="Evaluate a checkpoint of this run.",
            rich_help_panel=COMMON,
        ),
    ] = None,
    step: Annotated[
        int | None, typer.Option(help="Which checkpoint of --run.", rich_help_panel=COMMON)
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="RUN[:STEP]|FILE",
            help="Ask, decode and grade exactly as this evaluation did, or as the file says.",
            rich_help_panel=EVAL,
        ),
    ] = None,
) -> None:
    """Evaluate a model or a run's checkpoint without training.

    Examples:

        a5ctl run eval --model Qwen/Qwen2.5-Math-1.5B --data gsm8k

        a5ctl run eval --run sft-256-k3f9:best --split test

        a5ctl run eval --run sft-256-k3f9 --protocol sft-256-m2x7
    """
    from a5ctl.cells import WeightSource, build_cells, run_source, start_tree, take_away
    from core.errors import UserError

    if run is not None and call.model is not None:
        raise UserError("--model and --run both name what to evaluate; give only one of them")
    if step is not None and run is None:
        raise UserError("--step chooses a checkpoint of a run; give --run too")
    if protocol is not None and call.config is not None:
        raise UserError("--config and --protocol both say how to evaluate; give only one of them")
    source = (
        run_source(run, step, call.home, call.registry, only_evaluates=True)
        if run
        else WeightSource({"model.source": call.model})
    )
    tree = start_tree("eval", call.config, source, call.home)
    prompt = given["prompt.template"]
    told = {key: given.pop(key) for key in [setting.key for setting in LABELS]}
    if protocol is not None:
        from a5ctl.protocols import find_protocol, follow_into

        if given["evaluation.engine"] is None and "evaluation.engine" in tree.origins:
            given["evaluation.engine"] = tree["evaluation"]["engine"]
        found = find_protocol(protocol, call.home, call.registry)
        given = follow_into(tree, found, given, call.set_, call.seed)
    elif prompt not in (None, tree.get("prompt", {}).get("template")) and call.config is None:
        take_away(tree, ("evaluation.grader", "evaluation.stop"))  # they follow from the prompt
    given |= {**source.settings, **told}
    launch(build_cells(tree, given, call.set_, None, call.seed), call)
