"""Preflight's checks of the tokens: what is supervised, where it lies, and whether it fits."""

from collections.abc import Iterable, Iterator

from core.models import encode_prompt
from trainers.defaults import required
from trainers.preflight_report import PreflightInput, Result, doubtful, fatal, fine
from trainers.tokenization import Example

END_MARKS = (
    *("<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"),
    *("<eos>", "<end_of_turn>", "<|end|>", "<|EOT|>", "[EOS]", "<｜end▁of▁sentence｜>"),
)
"""Texts that end a response for common model families."""


def supervised(given: PreflightInput) -> Result:
    """Every example has something of its response to learn."""
    eos = given.tokenizer.eos_token_id
    empty = [e for e in given.examples if not _learns_text(e, eos)]
    if empty:
        return fatal(
            f"{len(empty)} of {len(given.examples)} examples have no supervised token besides EOS "
            f"(first: {empty[0].problem_id}); supervise {given.config.train.supervise} finds "
            "nothing to learn there: raise --max-length, or choose --supervise response"
        )
    counts = sum(e.supervised_count for e in given.examples)
    fed = sum(len(e.token_ids) for e in given.examples)
    return fine(
        f"{counts:,} of {fed:,} tokens are supervised ({counts / fed:.1%}), at least "
        f"{min(e.supervised_count for e in given.examples)} in every example"
    )


def eos(given: PreflightInput) -> Result:
    """Whole examples end with a supervised EOS."""
    end = given.tokenizer.eos_token_id
    if end is None:
        return fatal("the tokenizer has no EOS token; set one in its config")
    whole = [e for e in given.examples if not e.truncated]
    missing = [e for e in whole if e.token_ids[-1] != end or not e.supervised[-1]]
    if missing and not given.config.train.supervise_eos:
        return doubtful(
            f"EOS is not trained in {len(missing)} of {len(whole)} examples: the model may never "
            "learn to stop where no stop string ends it"
        )
    if missing:
        return fatal(
            f"{len(missing)} examples do not end with a supervised EOS (first: "
            f"{missing[0].problem_id}); this is a defect of the tokenization"
        )
    if not whole:
        return doubtful("all examples are cut before their EOS, so the model never learns to stop")
    shared = given.tokenizer.pad_token_id == end
    note = " (it is the padding token too; padding is masked by length)" if shared else ""
    return fine(f"EOS ends and is supervised in all {len(whole)} whole examples{note}")


def endings(given: PreflightInput) -> Result:
    """Targets bring no end-of-sequence text of their own."""
    own = given.tokenizer.eos_token
    double = [
        problem.id
        for problem, target in zip(given.problems, given.targets, strict=True)
        if given.config.train.supervise_eos and own and target.rstrip().endswith(own)
    ]
    if double:
        return doubtful(
            f"{len(double)} targets already end with {own} (first: {double[0]}), so they end with "
            "two; take it out of the data, or use --set train.supervise_eos=false"
        )
    foreign = [
        (problem.id, ending)
        for problem, target in zip(given.problems, given.targets, strict=True)
        if (ending := _foreign_ending(target, own)) is not None
    ]
    if foreign:
        name, ending = foreign[0]
        return doubtful(
            f"{len(foreign)} targets end with {ending} (first: {name}), the end mark of another "
            f"model, which is learned as plain text; take it out of the data, {own} is added"
        )
    return fine("no target brings an end mark of its own")


def vocabulary(given: PreflightInput) -> Result:
    """The model has an embedding for every token."""
    largest = max(max(example.token_ids) for example in given.examples)
    if given.vocabulary is not None and largest >= given.vocabulary:
        return fatal(
            f"the tokenizer makes token {largest} ({given.tokenizer.decode([largest])}), and the "
            f"model knows only {given.vocabulary}; take the tokenizer that belongs to the model"
        )
    return fine("the model knows every token of the examples")


def boundary(given: PreflightInput) -> Result:
    """Prompt and target tokenized apart give the tokens of the joined text."""
    differing = list(_differing(given))
    if not differing:
        return fine("prompt and target tokenized apart and together are the same tokens")
    index, joint = differing[0]
    example, problem = given.examples[index], given.problems[index]
    at = example.prompt_length
    shown = " | ".join(_pieces(given, example.token_ids[max(0, at - 2) : at + 2]))
    together = " | ".join(_pieces(given, joint[max(0, at - 2) : at + 2]))
    text = (
        f"{len(differing)} of {len(given.sample)} examples looked at change their tokens where "
        f"prompt and target meet ({problem.id}: {shown}; joined: {together})"
    )
    if all(_own_joint(given, i) for i, _ in differing):
        return fine(f"{text}: the line break of the template, which evaluation treats alike")
    return doubtful(
        f"{text}; let the prompt end without a space and the target begin with it, as the model "
        "knows its words"
    )


def length(given: PreflightInput) -> Result:
    """Nothing is cut at the maximum length."""
    limit = given.config.train.max_length
    cut = [e for e in given.examples if e.truncated]
    longest = max(e.full_length for e in given.examples)
    if cut:
        return doubtful(
            f"{len(cut)} of {len(given.examples)} examples are cut at {limit} tokens and lose "
            f"their end (longest: {longest}); raise --max-length"
        )
    return fine(f"the longest example has {longest} of {limit} tokens")


def cap(given: PreflightInput) -> Result:
    """Evaluation leaves room for a whole target."""
    most = required(given.config.evaluation.max_tokens, "evaluation.max_tokens")
    lengths = [e.full_length - e.prompt_length for e in given.examples]
    over = sum(tokens > most for tokens in lengths)
    prompt = max(e.prompt_length for e in given.examples)
    if given.max_context is not None and prompt + most > given.max_context:
        return doubtful(
            f"prompt ({prompt}) and response cap ({most}) exceed the model's {given.max_context} "
            "positions; long prompts get a shorter cap"
        )
    if over:
        return doubtful(
            f"{over} of {len(lengths)} targets are longer than the response cap of {most} tokens: "
            "evaluation would cut even perfect responses; raise --max-tokens"
        )
    return fine(f"the longest target has {max(lengths)} of {most} tokens")


def _foreign_ending(target: str, own: str | None) -> str | None:
    text = target.rstrip()
    return next((e for e in END_MARKS if e != own and text.endswith(e)), None)


def _learns_text(example: Example, end: int | None) -> bool:
    """Something of the response is supervised: an EOS alone teaches to stop, not to answer."""
    targets = zip(example.token_ids[1:], example.supervised[1:], strict=True)
    return any(marked and token != end for token, marked in targets)


def _differing(given: PreflightInput) -> Iterator[tuple[int, list[int]]]:
    for index in given.sample:
        problem, example = given.problems[index], given.examples[index]
        if example.truncated:
            continue
        joined = given.template.prompt(problem) + given.targets[index]
        joint = encode_prompt(given.tokenizer, joined)
        if tuple(joint) != example.token_ids[: len(joint)]:
            yield index, joint


def _own_joint(given: PreflightInput, index: int) -> bool:
    """The template put a line break there itself; the data has no say in it."""
    return given.problems[index].target is None and given.targets[index].startswith("\n")


def _pieces(given: PreflightInput, ids: Iterable[int]) -> list[str]:
    return [repr(given.tokenizer.decode([token])) for token in ids]
