"""Checks before the first update: what would make the run meaningless is found before it costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.config.schema import RunConfig
from core.data.filters import targets_graded_right
from core.data.problem import Problem
from core.prompts.template import PromptTemplate
from trainers.defaults import required, training_grader
from trainers.observer import Severity
from trainers.tokenization import IGNORED, Example, collate, padding_id

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: Short name of the check.
        severity: `error` stops the run.
        message: One sentence with the figures.
    """

    check: str
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class DecodedExample:
    """One training example as the loss sees it, for a person to read.

    Attributes:
        context: Decoded tokens that are not supervised.
        supervised: Decoded supervised labels, in order.
    """

    context: str
    supervised: str


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """All findings, in the order of the checks, and one example."""

    findings: tuple[Finding, ...]
    example: DecodedExample | None

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """Findings that must stop the run."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)


@dataclass(frozen=True, slots=True)
class PreflightInput:
    """What the checks look at.

    Attributes:
        problems: Training problems, in the order of `examples`.
        examples: The same, tokenized.
        parameters: Number of the policy's parameters.
        max_context: Positions the model was built for; None when it does not say.
        vocabulary: Rows of the embedding; None when not known.
    """

    config: RunConfig
    problems: Sequence[Problem]
    examples: Sequence[Example]
    template: PromptTemplate
    tokenizer: Any
    parameters: int
    max_context: int | None
    vocabulary: int | None = None


def run_preflight(given: PreflightInput) -> PreflightReport:
    """Run every check; no check raises for what it finds."""
    findings = tuple(check(given) for check in CHECKS)
    return PreflightReport(findings, decode_example(given.examples[0], given.tokenizer))


def decode_example(example: Example, tokenizer: Any) -> DecodedExample:
    """Decode one example from the very tensors the loss gets, so that a shifted mask would show."""
    ids, labels = collate([example], padding_id(tokenizer))
    kept = labels[0] != IGNORED
    context = [int(ids[0, 0]), *labels[0].masked_fill(kept, IGNORED).tolist()]
    first = int(kept.nonzero()[0]) + 1 if bool(kept.any()) else len(context)
    return DecodedExample(
        context=tokenizer.decode(list(example.token_ids[:first])),
        supervised=tokenizer.decode(labels[0][kept].tolist()),
    )


def _supervised_tokens(given: PreflightInput) -> Finding:
    eos = given.tokenizer.eos_token_id
    empty = [e for e in given.examples if not _learns_text(e, eos)]
    counts = sum(e.supervised_count for e in given.examples)
    fed = sum(len(e.token_ids) for e in given.examples)
    if empty:
        return Finding(
            "supervision",
            Severity.ERROR,
            f"{len(empty)} of {len(given.examples)} examples have no supervised token besides EOS "
            f"(first: {empty[0].problem_id}); supervise {given.config.train.supervise} finds "
            "nothing to learn there: raise --max-length, or choose --supervise response",
        )
    return Finding(
        "supervision",
        Severity.INFO,
        f"{counts:,} of {fed:,} tokens are supervised ({counts / fed:.1%}), at least "
        f"{min(e.supervised_count for e in given.examples)} in every example",
    )


def _learns_text(example: Example, eos: int | None) -> bool:
    """Something of the response is supervised: an EOS alone teaches to stop, not to answer."""
    targets = zip(example.token_ids[1:], example.supervised[1:], strict=True)
    return any(marked and token != eos for token, marked in targets)


def _eos(given: PreflightInput) -> Finding:
    eos = given.tokenizer.eos_token_id
    if eos is None:
        return Finding(
            "eos", Severity.ERROR, "the tokenizer has no EOS token; set one in its config"
        )
    if not given.config.train.supervise_eos:
        return Finding(
            "eos",
            Severity.WARNING,
            "EOS is not trained: the model may never learn to stop where no stop string ends it",
        )
    whole = [e for e in given.examples if not e.truncated]
    missing = [e for e in whole if e.token_ids[-1] != eos or not e.supervised[-1]]
    if missing:
        return Finding(
            "eos",
            Severity.ERROR,
            f"{len(missing)} examples do not end with a supervised EOS (first: "
            f"{missing[0].problem_id}); this is a defect of the tokenization",
        )
    shared = (
        " (it is the padding token too; padding is masked by length)"
        if (given.tokenizer.pad_token_id == eos)
        else ""
    )
    return Finding(
        "eos",
        Severity.INFO,
        f"EOS ends and is supervised in all {len(whole)} whole examples{shared}",
    )


def _vocabulary(given: PreflightInput) -> Finding:
    largest = max(max(example.token_ids) for example in given.examples)
    if given.vocabulary is not None and largest >= given.vocabulary:
        return Finding(
            "vocabulary",
            Severity.ERROR,
            f"the tokenizer makes token {largest} ({given.tokenizer.decode([largest])}), and the "
            f"model knows only {given.vocabulary}; take the tokenizer that belongs to the model",
        )
    return Finding("vocabulary", Severity.INFO, "the model knows every token of the examples")


def _stop_string(given: PreflightInput) -> Finding:
    stops = given.config.evaluation.stop
    if not stops:
        return Finding("stop", Severity.INFO, "no stop string; responses end with EOS or the cap")
    targets = [
        _round_trip(given.template.target(problem) or "", given.tokenizer)
        for problem in given.problems
    ]
    unreachable = [
        problem.id
        for problem, target in zip(given.problems, targets, strict=True)
        if not any(stop in target for stop in stops)
    ]
    if unreachable:
        return Finding(
            "stop",
            Severity.WARNING,
            f"{len(unreachable)} of {len(targets)} targets never contain a stop string "
            f"({', '.join(stops)}; first: {unreachable[0]}): the model learns responses that do "
            "not close",
        )
    return Finding(
        "stop", Severity.INFO, f"every target reaches the stop string {', '.join(stops)}"
    )


def _graded_targets(given: PreflightInput) -> Finding:
    grader = training_grader(given.config, given.template, given.problems)
    right = targets_graded_right(given.problems, given.template, grader)
    share = sum(right) / len(right)
    if share == 1.0:
        return Finding(
            "targets",
            Severity.INFO,
            f"the {grader} grader accepts all {len(right)} training targets",
        )
    wrong = next(p.id for p, ok in zip(given.problems, right, strict=True) if not ok)
    return Finding(
        "targets",
        Severity.WARNING,
        f"the {grader} grader accepts only {share:.1%} of the training targets (first refused: "
        f"{wrong}); the run will learn answers that count as wrong: --filter correct "
        "leaves them out",
    )


def _truncation(given: PreflightInput) -> Finding:
    limit = given.config.train.max_length
    cut = [e for e in given.examples if e.truncated]
    longest = max(e.full_length for e in given.examples)
    if cut:
        return Finding(
            "length",
            Severity.WARNING,
            f"{len(cut)} of {len(given.examples)} examples are cut at {limit} tokens and lose "
            f"their end (longest: {longest}); raise --max-length",
        )
    return Finding("length", Severity.INFO, f"the longest example has {longest} of {limit} tokens")


def _generation_cap(given: PreflightInput) -> Finding:
    cap = required(given.config.evaluation.max_tokens, "evaluation.max_tokens")
    lengths = [e.full_length - e.prompt_length for e in given.examples]
    over = sum(length > cap for length in lengths)
    prompt = max(e.prompt_length for e in given.examples)
    if given.max_context is not None and prompt + cap > given.max_context:
        return Finding(
            "cap",
            Severity.WARNING,
            f"prompt ({prompt}) and response cap ({cap}) exceed the model's {given.max_context} "
            "positions; long prompts get a shorter cap",
        )
    if over:
        return Finding(
            "cap",
            Severity.WARNING,
            f"{over} of {len(lengths)} targets are longer than the response cap of {cap} tokens: "
            "evaluation would cut even perfect responses; raise --max-tokens",
        )
    return Finding("cap", Severity.INFO, f"the longest target has {max(lengths)} of {cap} tokens")


def _prompts_agree(given: PreflightInput) -> Finding:
    own = [p for p in given.problems if p.prompt is not None]
    if not own:
        return Finding("prompt", Severity.INFO, _rendering(given))
    tail = given.template.text.rpartition("}")[2]
    differing = [p for p in own if not (p.prompt or "").endswith(tail)]
    if differing and tail:
        return Finding(
            "prompt",
            Severity.WARNING,
            f"{len(differing)} training prompts do not end like the template {given.template.name} "
            f"(first: {differing[0].id}); evaluation on other data would ask in another form",
        )
    return Finding("prompt", Severity.INFO, "the data brings its own prompts")


def _rendering(given: PreflightInput) -> str:
    text = f"prompts are rendered by {given.template.name}"
    if given.config.prompt.chat:
        return f"{text} inside the model's chat template"
    if getattr(given.tokenizer, "chat_template", None):
        return (
            f"{text}; the model's chat template is not used (--set prompt.chat=true uses it, which "
            "models trained on conversations need)"
        )
    return text


def _memory(given: PreflightInput) -> Finding:
    # float32 weights, gradients and two moments; activations come on top
    state = given.parameters * 16 / _MIB
    return Finding(
        "memory",
        Severity.INFO,
        f"{given.parameters / 1e6:,.1f}M parameters: {state:,.0f} MiB for weights, gradients and "
        "optimizer, activations on top",
    )


def _round_trip(text: str, tokenizer: Any) -> str:
    decoded: str = tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"])
    return decoded


CHECKS: tuple[Callable[[PreflightInput], Finding], ...] = (
    _supervised_tokens,
    _eos,
    _vocabulary,
    _stop_string,
    _graded_targets,
    _truncation,
    _generation_cap,
    _prompts_agree,
    _memory,
)
