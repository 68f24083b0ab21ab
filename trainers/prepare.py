"""Everything about a run that can be wrong is found here, before anything is written."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.config.schema import RunConfig, RunKind, Supervise
from core.data.choices import is_choice
from core.data.filters import keep_correct, keep_solved
from core.data.load import BUILTIN_DATA, DataSet, load_data, nested_subset
from core.data.pairs import PreferencePair, read_pairs
from core.data.problem import Problem
from core.engines.select import EngineChoice, choose_engine
from core.errors import UserError
from core.models import BUILTIN_MODEL, load_tokenizer
from core.prompts.chat import in_chat_template
from core.prompts.template import (
    BUILTIN_PROMPTS,
    PromptTemplate,
    check_question_field,
    load_prompt,
)
from core.provenance import data_hash
from core.registry.store import Registry, RunRecord
from core.responses.grade import GraderName
from core.secrets import mask_text
from core.workspace import Workspace
from trainers.defaults import resolve_defaults, resolve_machine, training_grader
from trainers.distributed.checks import check_placement, check_processes
from trainers.kernel_checks import check_kernels
from trainers.origin import Origin, find_origin
from trainers.policy import choose_device

_Stamps = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that can start.

    Attributes:
        config: With every open setting filled in.
        template: The prompt template.
        train: Training problems after subset and filter; empty for an evaluation, and where
            pairs are learned from.
        selected: Training problems before the filter.
        evaluation: Problems to evaluate on, in order.
        data_name: Name of the training (or, for an evaluation, the evaluated) data.
        evaluation_data: Name of the evaluated data.
        origin: The weights to start from.
        parent: The run the weights come from.
        device: `cpu` or `cuda`.
        engine: Which engine will generate, and why.
        pairs: Pairs of responses to learn from; empty where problems are.
    """

    config: RunConfig
    template: PromptTemplate
    train: tuple[Problem, ...]
    selected: int
    evaluation: tuple[Problem, ...]
    data_name: str
    evaluation_data: str
    origin: Origin
    parent: RunRecord | None
    device: str
    engine: EngineChoice
    pairs: tuple[PreferencePair, ...] = ()

    @property
    def model_dir(self) -> Path:
        """Folder of the weights to start from."""
        return self.origin.path

    @property
    def base_model(self) -> str:
        """Source of the model at the root of the lineage."""
        return self.origin.base_model


def prepare(
    config: RunConfig,
    workspace: Workspace,
    registry: Registry,
    kept: Sequence[PreferencePair] | None = None,
) -> Prepared:
    """Resolve and check one run.

    Args:
        config: As it was asked for, or stored.
        workspace: Where other runs' checkpoints are.
        registry: Where other runs are.
        kept: The pairs that the run learns from, where it has them already.

    Raises:
        UserError: model, data, prompt, size, filter, engine or device cannot be had.
    """
    config = _without_secrets(_named(_anchored(config), registry))
    template = _template(config)
    parent = registry.find_run(config.model.run) if config.model.run is not None else None
    origin = find_origin(config.model, parent, workspace, registry)
    config = config.model_copy(update={"model": origin.settings})
    if config.prompt.chat:
        template = in_chat_template(template, load_tokenizer(origin.path))
    only_evaluates = not config.kind.trains
    whole_file = only_evaluates and not config.data.held_out
    data = _load(config.data.source, whole_file)
    selected = [] if only_evaluates else _select(config, data)
    if kept is None:
        kept = select_pairs(config) if config.kind is RunKind.DPO else ()
    device = choose_device(config.model.device)
    engine = choose_engine(config.evaluation.engine, device)
    evaluation_data = _load(config.data.evaluation_source or config.data.source, whole_file)
    asked = _evaluation_problems(config, evaluation_data)
    choices = all(map(is_choice, asked))
    resolved = resolve_machine(
        resolve_defaults(
            config, template, origin.base_model, len(kept) or len(selected), choices=choices
        ),
        device,
        engine.name,
    )
    _check_grader(resolved, asked)
    _check_rollout_grader(resolved, selected)
    check_processes(config.model_copy(update={"train": resolved.train}), device)
    check_placement(config, device)
    check_kernels(resolved, device)
    return Prepared(
        config=resolved,
        template=template,
        train=() if kept else tuple(_filter(resolved, selected, template, registry)),
        selected=len(selected),
        evaluation=asked,
        data_name=data.name,
        evaluation_data=evaluation_data.name,
        origin=origin,
        parent=parent,
        device=device,
        engine=engine,
        pairs=tuple(kept),
    )


def _anchored(config: RunConfig) -> RunConfig:
    """Local paths made absolute: a stored config must mean the same in every folder."""
    other = config.data.evaluation_source
    data = {
        "source": _absolute(config.data.source, (BUILTIN_DATA,)),
        "evaluation_source": None if other is None else _absolute(other, (BUILTIN_DATA,)),
    }
    source = _absolute(config.model.source, (BUILTIN_MODEL,))
    template, pairs = config.prompt.template, config.dpo.pairs
    if config.prompt.text is None:
        template = _absolute(template, BUILTIN_PROMPTS)
    return config.model_copy(
        update={
            "data": config.data.model_copy(update=data),
            "model": config.model.model_copy(update={"source": source}),
            "prompt": config.prompt.model_copy(update={"template": template}),
            "dpo": config.dpo
            if pairs is None
            else config.dpo.model_copy(update={"pairs": Path(os.path.abspath(pairs.expanduser()))}),
        }
    )


def _named(config: RunConfig, registry: Registry) -> RunConfig:
    """Runs by their ids: a prefix or a name may mean another run tomorrow."""
    parent, solver = config.model.run, config.data.solved_by
    model = {"run": None if parent is None else registry.find_run(parent).id}
    data = {"solved_by": None if solver is None else registry.find_run(solver).id}
    return config.model_copy(
        update={
            "model": config.model.model_copy(update=model),
            "data": config.data.model_copy(update=data),
        }
    )


def _without_secrets(config: RunConfig) -> RunConfig:
    """Texts that people wrote about the run; they are kept for years, and exported."""
    texts = {"name": config.name, "group": config.group, "note": config.note}
    masked = {name: text and mask_text(text) for name, text in texts.items()}
    tags = tuple(mask_text(tag) for tag in config.tags)
    return config.model_copy(update={**masked, "tags": tags})


def _template(config: RunConfig) -> PromptTemplate:
    if config.prompt.text is None:
        return load_prompt(config.prompt.template)
    check_question_field(config.prompt.text, "prompt.text")
    return PromptTemplate(config.prompt.template, config.prompt.text)


def _absolute(source: str, names: Collection[str]) -> str:
    path = Path(source).expanduser()
    return os.path.abspath(path) if source not in names and path.exists() else source


def _load(source: str, whole_file_is_test: bool) -> DataSet:
    """Read once for all runs of a process, and again where the files have changed meanwhile."""
    return _load_as_it_is(source, whole_file_is_test, _stamps(source))


@lru_cache(maxsize=4)
def _load_as_it_is(source: str, whole_file_is_test: bool, stamps: _Stamps) -> DataSet:
    return load_data(source, whole_file_is_test=whole_file_is_test)


def _stamps(source: str) -> _Stamps:
    """Name, time, size and number of the files; none of what is not in the file system."""
    path = Path(source)
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [(file.name, file.stat()) for file in files]
    except OSError:
        return ()
    return tuple((name, s.st_mtime_ns, s.st_size, s.st_ino) for name, s in stats)


def _select(config: RunConfig, data: DataSet) -> list[Problem]:
    if config.kind is RunKind.DPO:
        return []
    if config.kind.samples:
        return nested_subset(data.split("train"), config.data.size, config.data_seed)
    _refuse_choices(data)
    problems = data.split("train")
    selected = nested_subset(problems, config.data.size, config.data_seed)
    missing = [p for p in selected if p.target is None and p.reasoning is None]
    if missing:
        raise UserError(
            f"data {data.name}: {len(missing)} training problems have no worked solution to learn "
            f"(first: {missing[0].id}); add reasoning, or prompt and response"
        )
    return selected


def select_pairs(config: RunConfig) -> list[PreferencePair]:
    """The pairs of a run from their file; sizes nest as those of problems do.

    Raises:
        UserError: there is no such file, it cannot be read, or settings do not go with pairs.
    """
    if config.dpo.pairs is None:
        raise UserError(
            "a run of kind dpo learns from pairs of responses: name their file with --pairs; "
            "a5ctl pairs RUN makes one from the responses that a run has recorded"
        )
    if config.data.filter != "none":
        raise UserError(
            f"filter {config.data.filter} chooses training problems, and a run of kind dpo learns "
            "from pairs; leave the filter out, and choose pairs with a5ctl pairs --grader"
        )
    if config.train.supervise is not Supervise.RESPONSE:
        raise UserError(
            f"--supervise {config.train.supervise} leaves out tokens by which responses are told "
            "apart; a run of kind dpo compares whole responses, so leave it out"
        )
    pairs = read_pairs(config.dpo.pairs)
    if config.data.size is None:
        return pairs
    return nested_subset(pairs, config.data.size, config.data_seed, "pairs")


def _refuse_choices(data: DataSet) -> None:
    """Options without worked solutions give nothing to learn from but letters."""
    every = (problem for problems in data.splits.values() for problem in problems)
    if all(is_choice(p) and p.target is None and p.reasoning is None for p in every):
        raise UserError(
            f"data {data.name} is multiple choice, which is only evaluated on: train on other data "
            "with --eval-data for this one, or start it with a5ctl run eval"
        )


def _filter(
    config: RunConfig, problems: Sequence[Problem], template: PromptTemplate, registry: Registry
) -> Sequence[Problem]:
    if config.kind is RunKind.EVAL or config.data.filter == "none":
        return problems
    if config.data.filter == "correct":
        return keep_correct(problems, template, training_grader(config, template, problems))
    run = registry.find_run(config.data.solved_by or "")
    return keep_solved(problems, registry.solved_questions(run.uuid), run.id)


def _evaluation_problems(config: RunConfig, data: DataSet) -> tuple[Problem, ...]:
    problems = data.split(config.evaluation.split)
    limit = config.evaluation.limit
    if limit is not None and limit > len(problems):
        raise UserError(
            f"evaluation limit {limit} is larger than the {len(problems)} problems of the "
            f"{config.evaluation.split} split of {data.name}; use 1 to {len(problems)}"
        )
    asked = problems[:limit]
    wanted = config.data.evaluation_hash
    if wanted is not None and (found := data_hash(asked)) != wanted:
        raise UserError(
            f"the {len(asked)} problems of the {config.evaluation.split} split of {data.name} are "
            f"not those that were recorded: their hash is {found[:12]}, and {wanted[:12]} is "
            "asked for; restore the data, or name a copy with --data (names of folders count, as "
            "ids begin with them)"
        )
    return asked


def _check_grader(config: RunConfig, asked: Sequence[Problem]) -> None:
    if config.evaluation.grader is not GraderName.MULTIPLE_CHOICE:
        return
    other = next((p for p in asked if not is_choice(p)), None)
    if other is not None:
        raise UserError(
            f"grader multiple_choice reads letters of options, and problem {other.id} shows none; "
            "choose another --grader"
        )


def _check_rollout_grader(config: RunConfig, selected: Sequence[Problem]) -> None:
    if not config.kind.samples or config.rollout.grader is not GraderName.MULTIPLE_CHOICE:
        return
    other = next((p for p in selected if not is_choice(p)), None)
    if other is not None:
        raise UserError(
            "rollout.grader multiple_choice reads letters of options, and training problem "
            f"{other.id} shows none; choose another one, strict for example"
        )
