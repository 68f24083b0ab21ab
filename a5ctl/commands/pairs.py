"""`a5ctl pairs`: preference pairs from the responses that runs have recorded."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from a5ctl.options import HomeOption, JsonOption, QuietOption, RegistryOption

if TYPE_CHECKING:
    from core.pairing import Pairing
    from core.recorded_candidates import Collected, CollectSettings
    from core.registry.records import RunRecord
    from core.registry.store import Registry

_CHOICE, _PAIRING = "Which responses", "How they are paired"


def pairs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Runs to look through.")],
    out: Annotated[Path, typer.Option(help="File of JSON lines to write.")] = Path("pairs.jsonl"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    grader: Annotated[
        str,
        typer.Option(
            help="Tells right from wrong: strict, r1_zero, lenient, diagnostic, question_only or "
            "multiple_choice.",
            rich_help_panel=_CHOICE,
        ),
    ] = "strict",
    source: Annotated[
        str, typer.Option(help="rollouts, evaluations or all.", rich_help_panel=_CHOICE)
    ] = "all",
    step: Annotated[
        int | None,
        typer.Option(
            min=0, help="Only responses of this step; all when not given.", rich_help_panel=_CHOICE
        ),
    ] = None,
    allow_test: Annotated[
        bool,
        typer.Option(
            "--allow-test",
            help="Also take evaluations on other splits than train. What learns from them cannot "
            "be tested on them any more.",
            rich_help_panel=_CHOICE,
        ),
    ] = False,
    per_problem: Annotated[
        int, typer.Option(min=1, help="Pairs of one problem, at most.", rich_help_panel=_PAIRING)
    ] = 4,
    length_balance: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            metavar="FACTOR",
            help="Pair responses of similar length, and none that differ by more than this factor.",
            rich_help_panel=_PAIRING,
        ),
    ] = None,
    dedup: Annotated[
        bool,
        typer.Option(
            "--dedup/--no-dedup",
            help="Count responses with the same text once.",
            rich_help_panel=_PAIRING,
        ),
    ] = True,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides among equals.", rich_help_panel=_PAIRING)
    ] = 0,
    quiet: QuietOption = False,
    json_: JsonOption = False,
    home: HomeOption = None,
    registry: RegistryOption = None,
) -> None:
    """Pair right and wrong responses to the same prompt, for a5ctl run dpo.

    Only responses to training problems are taken: rollouts, and evaluations on the train split.
    The same responses and options always give the same file.

    Examples:

        a5ctl run eval --run sft-128-k3f9 --split train --temperature 1 --set evaluation.n=8

        a5ctl pairs eval-m2x7 --out pairs.jsonl

        a5ctl pairs grpo-p4t8 --source rollouts --per-problem 2 --length-balance 1.5
    """
    from a5ctl.console import out as standard_output
    from a5ctl.console import print_json
    from a5ctl.files import check_target
    from a5ctl.options import open_workspace_and_registry, parse_grader
    from a5ctl.progress import Stop, progress
    from a5ctl.tables.pairs_view import pairs_json, print_pairs
    from core.pairing import PairingSettings, pair_up
    from core.recorded_candidates import CollectSettings
    from core.responses.names import GraderName

    check_target(out, force=force)
    chosen = parse_grader(grader) or GraderName.STRICT
    settings = CollectSettings(chosen, _source(source), step, allow_test)
    _, store = open_workspace_and_registry(home, registry)
    records = [store.find_run(name) for name in dict.fromkeys(runs)]
    told = progress("reading recorded responses", stop=Stop.NOTHING, quiet=quiet, as_json=json_)
    with told:
        found = _collect(store, records, settings)
    pairing = pair_up(found.candidates, PairingSettings(per_problem, length_balance, dedup, seed))
    _write(pairing, chosen, out, force=force)
    if json_:
        print_json(pairs_json(pairing, found, settings, out))
    else:
        print_pairs(standard_output(), pairing, found, settings, out)


def _source(name: str) -> Any:
    from core.errors import UserError
    from core.recorded_candidates import ResponseSource

    if name not in set(ResponseSource):
        raise UserError(f"--source {name!r} is unknown; choose {', '.join(ResponseSource)}")
    return ResponseSource(name)


def _collect(
    store: "Registry", runs: "list[RunRecord]", settings: "CollectSettings"
) -> "Collected":
    from functools import partial

    from core.recorded_candidates import (
        Collected,
        ResponseSource,
        check_collected,
        collect_evaluations,
        collect_rollouts,
    )
    from trainers.recorded_prompts import evaluation_prompts, rollout_prompts

    found = Collected()
    if settings.source is not ResponseSource.EVALUATIONS:
        collect_rollouts(store, runs, settings, partial(rollout_prompts, store), found)
    if settings.source is not ResponseSource.ROLLOUTS:
        collect_evaluations(store, runs, settings, evaluation_prompts, found)
    check_collected(found, settings, runs)
    return found


def _write(pairing: "Pairing", grader: str, out: Path, *, force: bool) -> None:
    from a5ctl.console import json_line
    from a5ctl.files import whole_file
    from core.errors import UserError
    from core.pairing import pair_row

    if not pairing.pairs:
        raise UserError(_nothing(pairing, grader))
    with whole_file(out, force=force) as file:
        for pair in pairing.pairs:
            file.write(json_line(pair_row(pair, str(grader))).encode() + b"\n")


def _nothing(pairing: "Pairing", grader: str) -> str:
    if pairing.mixed:
        return (
            f"none of the {pairing.mixed} problems with right and wrong responses has two of "
            "similar length; raise --length-balance, or leave it out"
        )
    return (
        f"no problem has a right and a wrong response under grader {grader}: "
        f"{pairing.right} responses are right and {pairing.wrong} wrong over {pairing.problems} "
        "problems; sample more of each (--set evaluation.n=16), or choose another --grader"
    )
