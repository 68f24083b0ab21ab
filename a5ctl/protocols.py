"""Protocols by name: those of evaluations in the registry, those in files, and how to follow one.

`RUN`, `RUN:STEP` and `FILE.toml` name a protocol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a5ctl.cells import take_away
from a5ctl.console import err, plain
from a5ctl.options import open_workspace_and_registry
from core.config.load import parse_assignment
from core.engines.select import choose_engine
from core.errors import UserError
from core.prompts.template import BUILTIN_PROMPTS, load_prompt
from core.protocol_file import ProtocolSource, RecordedProtocol, read_protocol
from core.registry.records import EvaluationRecord, RunRecord
from core.responses.names import GRADER_VERSIONS, GraderName

_DECODING = ("temperature", "top_p", "max_tokens", "min_tokens", "stop", "n", "seed")
_DTYPES = ("float32", "bfloat16")
_SET = frozenset(
    (
        *("prompt_name", "prompt_text", "data_name", "data_hash", "split"),
        *("engine", "engine_version", "dtype", "grader", "grader_version", *_DECODING),
    )
)
_OPTIONS = {
    "prompt.template": "--prompt",
    "evaluation.split": "--split",
    "evaluation.limit": "--eval-limit",
    "evaluation.grader": "--grader",
    "evaluation.max_tokens": "--max-tokens",
    "evaluation.temperature": "--temperature",
}
# where the problems lie and what generates are the machine's business, not the question's
_FREE = ("data.source", "evaluation.engine", "evaluation.dtype")


@dataclass(frozen=True, slots=True)
class Pinned:
    """How to follow a protocol.

    Attributes:
        settings: Dotted settings; None takes an inherited one away.
        notes: What cannot be quite the same here, for people.
    """

    settings: dict[str, Any]
    notes: tuple[str, ...]


def find_protocol(reference: str, home: Path | None, registry: str | None) -> RecordedProtocol:
    """The protocol behind `RUN`, `RUN:STEP`, `RUN:last` or a file.

    Raises:
        UserError: there is no such run, evaluation or file, or the file is no protocol.
    """
    if names_file(reference):
        return read_protocol(Path(reference).expanduser())
    run, evaluation, _ = find_evaluation(reference, home, registry)
    return protocol_of(run, evaluation)


def names_file(reference: str) -> bool:
    """A protocol file is meant, not a run."""
    path = Path(reference).expanduser()
    return path.is_file() or path.suffix == ".toml"


def find_evaluation(
    reference: str, home: Path | None, registry: str | None
) -> tuple[RunRecord, EvaluationRecord, list[EvaluationRecord]]:
    """The run, the evaluation that is meant, and all evaluations of the run.

    Raises:
        UserError: there is none.
    """
    from a5ctl.tables.steps import choose_evaluation

    _, store = open_workspace_and_registry(home, registry)
    name, _, tail = reference.rpartition(":")
    step = int(tail) if tail.isdecimal() and tail.isascii() else None
    has_step = bool(name) and (tail == "last" or step is not None)
    run = store.find_run(name if has_step else reference)
    evaluations = store.evaluations([run.uuid])
    return run, choose_evaluation(run, evaluations, step if has_step else None), evaluations


def protocol_of(run: RunRecord, evaluation: EvaluationRecord) -> RecordedProtocol:
    """An evaluation's protocol, with the place of its problems from the run's configuration."""
    data = run.config.get("data", {})
    samples = evaluation.protocol.get("n") or 1
    source = ProtocolSource(
        run=run.id,
        step=evaluation.step,
        data=data.get("evaluation_source") or data.get("source"),
        held_out=data.get("held_out", run.kind != "eval"),
        limit=run.config.get("evaluation", {}).get("limit"),
        problems=evaluation.n // samples,
    )
    return RecordedProtocol(f"{run.id} step {evaluation.step}", evaluation.protocol, source)


def follow_into(
    tree: dict[str, Any],
    protocol: RecordedProtocol,
    given: dict[str, Any],
    assignments: Sequence[str] | None,
    seeds: str | None,
) -> dict[str, Any]:
    """Options together with the protocol's settings; says what cannot be quite the same.

    Args:
        tree: Inherited settings; those that the protocol leaves open are taken out.
        protocol: What to follow.
        given: As for `follow`.
        assignments: As for `follow`.
        seeds: As for `follow`.

    Raises:
        UserError: see `follow`.
    """
    pinned = follow(protocol, given, assignments, seeds)
    take_away(tree, [key for key, value in pinned.settings.items() if value is None])
    for note in pinned.notes:
        err().print(plain(f"protocol: {note}", style="dim"), soft_wrap=True)
    return {**given, **pinned.settings}


def follow(
    protocol: RecordedProtocol,
    given: Mapping[str, Any],
    assignments: Sequence[str] | None,
    seeds: str | None,
) -> Pinned:
    """Settings that make `a5ctl run eval` ask and grade exactly as this protocol does.

    Args:
        protocol: What to follow.
        given: Dotted settings from options; None means not given.
        assignments: `key=value` texts of `--set`.
        seeds: Value of `--seed`.

    Raises:
        UserError: something in it cannot be had here, or an option contradicts it.
    """
    _check_known(protocol)
    settings = {**_asked(protocol), **_graded(protocol)}
    for name in _DECODING:
        settings[f"evaluation.{name}"] = protocol.fields[name]
    _check_options(protocol, settings, given, assignments, seeds)
    if protocol.fields["temperature"] == 0:
        settings["evaluation.seed"] = None  # greedy decoding has none
    settings |= _place(protocol, given.get("data.source"))
    machine, notes = _machine(protocol, chosen=given.get("evaluation.engine"))
    return Pinned({**settings, **machine}, notes)


def _check_known(protocol: RecordedProtocol) -> None:
    unknown = [name for name in _DECODING if protocol.fields.get(name) is None]
    if unknown:
        raise UserError(
            f"the protocol of {protocol.label} does not say {', '.join(unknown)}, as another tool "
            "made its responses; set the options of a5ctl run eval by hand"
        )
    strange = [k for k, v in protocol.fields.items() if k not in _SET and v is not None]
    if strange:
        raise UserError(
            f"the protocol of {protocol.label} has {', '.join(strange)}, which a5ctl run eval "
            "cannot follow"
        )


def _asked(protocol: RecordedProtocol) -> dict[str, Any]:
    fields = protocol.fields
    name, text = fields["prompt_name"], fields["prompt_text"]
    as_it_is = name in BUILTIN_PROMPTS and load_prompt(name).text == text
    return {
        "prompt.template": name,
        "prompt.text": None if as_it_is else text,
        "prompt.chat": False,  # the recorded text stands in its chat template already
        "data.evaluation_hash": fields["data_hash"],
        "evaluation.split": fields["split"],
        "evaluation.limit": protocol.source.limit,
    }


def _graded(protocol: RecordedProtocol) -> dict[str, Any]:
    name, version = protocol.fields["grader"], protocol.fields["grader_version"]
    if name not in set(GraderName):
        raise UserError(
            f"the protocol of {protocol.label} has the grader {name!r}, which this a5ctl does not "
            f"have; it has {', '.join(GraderName)}"
        )
    here = GRADER_VERSIONS[GraderName(name)]
    if version != here:
        raise UserError(
            f"the protocol of {protocol.label} was graded by version {version} of {name}, and this "
            f"a5ctl has version {here}; a5ctl regrade moves stored evaluations to it"
        )
    return {"evaluation.grader": name}


def _check_options(
    protocol: RecordedProtocol,
    pinned: Mapping[str, Any],
    given: Mapping[str, Any],
    assignments: Sequence[str] | None,
    seeds: str | None,
) -> None:
    typed = [
        (_OPTIONS.get(key, key), key, value) for key, value in given.items() if value is not None
    ]
    typed += [(f"--set {text}", *parse_assignment(text)) for text in assignments or ()]
    for option, key, value in typed:
        if key in pinned and key not in _FREE and not _agrees(key, value, pinned):
            shown = option if option.startswith("--set") else f"{option} {value}"
            raise _contradiction(protocol, shown, _has(key, pinned, protocol))
    if seeds is not None and seeds.strip() != str(protocol.fields["seed"]):
        seed = protocol.fields["seed"]
        raise _contradiction(protocol, f"--seed {seeds}", f"samples with seed {seed}")


def _agrees(key: str, value: Any, pinned: Mapping[str, Any]) -> bool:
    if key == "prompt.template" and value != pinned[key]:
        wanted = pinned["prompt.text"] or load_prompt(str(pinned[key])).text
        return load_prompt(str(value)).text == wanted
    return bool(_plain(value) == _plain(pinned[key]))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _has(key: str, pinned: Mapping[str, Any], protocol: RecordedProtocol) -> str:
    if key == "evaluation.limit" and pinned[key] is None:
        asked = protocol.source.problems
        return "asks all problems" if asked is None else f"asks all {asked:,} problems"
    name = key.rsplit(".", 1)[-1]
    return f"has {name} {str(pinned[key])[:60]}" if pinned[key] is not None else f"has no {name}"


def _contradiction(protocol: RecordedProtocol, option: str, has: str) -> UserError:
    return UserError(
        f"{option} contradicts the protocol of {protocol.label}, which {has}; leave one of them out"
    )


def _place(protocol: RecordedProtocol, given: str | None) -> dict[str, Any]:
    source = given or protocol.source.data
    if source is None:
        raise UserError(
            f"the protocol of {protocol.label} does not say where its problems are; name them with "
            "--data"
        )
    path = Path(source).expanduser()
    if given is None and path.is_absolute() and not path.exists():
        raise UserError(
            f"the problems of {protocol.label} were in {source}, and nothing is there now; name a "
            "copy with --data"
        )
    held_out = protocol.source.held_out and path.is_file()
    return {
        "data.source": source,
        "data.evaluation_source": None,
        "data.held_out": True if held_out else None,
    }


def _machine(
    protocol: RecordedProtocol, chosen: str | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Engine and precision as recorded, as far as this machine has them."""
    fields = protocol.fields
    engine, recorded = fields["engine"], f"{fields['engine']} {fields['engine_version']}"
    there = engine in ("hf", choose_engine("auto").name)
    wanted = chosen or (engine if there else "auto")
    dtype = fields["dtype"] if fields["dtype"] in _DTYPES else "auto"
    found = choose_engine(wanted)
    notes = []
    if (found.name, found.version) != (engine, fields["engine_version"]):
        notes.append(
            f"recorded with {recorded}, and {found.name} {found.version} generates here: "
            "comparisons will say so"
        )
    return {"evaluation.engine": wanted, "evaluation.dtype": dtype}, tuple(notes)
