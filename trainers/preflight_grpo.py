"""GRPO's checks before the first update: can answers end, be judged, and differ in reward?"""

from core.config.methods import LossType, RewardPart
from core.data.choices import is_choice
from core.data.filters import targets_graded_right
from core.models import encode_prompt
from core.responses.names import GraderName
from trainers import preflight_data as data
from trainers import preflight_targets as targets
from trainers.defaults import required
from trainers.memory import describe_memory
from trainers.observer import Severity
from trainers.preflight_report import (
    Check,
    DecodedExample,
    Finding,
    PreflightInput,
    PreflightReport,
    Result,
    doubtful,
    fatal,
    fine,
)

_SAMPLE = 256
_NEARLY_ALL = 0.95


def preflight_grpo(given: PreflightInput) -> PreflightReport:
    """Run every check; no check raises for what it finds.

    Args:
        given: `problems` are the questions that will be asked; `examples` are rows as long as a
            prompt and its response can get.
    """
    findings = []
    for check in GRPO_CHECKS:
        result = check.look(given)
        findings.append(Finding(check.name, result.severity, result.message))
    prompt = given.template.prompt(given.problems[0])
    return PreflightReport(tuple(findings), DecodedExample(prompt, ""))


def _groups(given: PreflightInput) -> Result:
    """Batches are whole groups, and groups are large enough to compare within."""
    settings, size = given.config.grpo, given.config.rollout.per_question
    if settings.rollout_batch % size:
        whole = max(1, settings.rollout_batch // size) * size
        return fatal(
            f"a rollout batch of {settings.rollout_batch} is not whole groups of {size} responses; "
            f"use --rollout-batch {whole}, or another --group-size"
        )
    if size == 1 and settings.loss is not LossType.NO_BASELINE:
        divided = " divided by its deviation" if settings.std_normalization else ""
        return fatal(
            f"in groups of one response every advantage{divided} is 0, so the loss "
            f"{settings.loss} learns nothing; use --group-size 2 or more, or --loss no_baseline"
        )
    questions = settings.rollout_batch // size
    updates = settings.updates_per_rollout
    plural = "updates" if updates > 1 else "update, on-policy,"
    text = f"a batch asks {questions} questions {size} times; {updates} {plural} with each batch"
    if size == 2 and settings.std_normalization and settings.loss is not LossType.NO_BASELINE:
        return doubtful(
            f"{text}; the advantages of two responses divided by their deviation say which is "
            "better, never by how much: use --no-std-normalization, or a larger --group-size"
        )
    return fine(text)


def _supply(given: PreflightInput) -> Result:
    """There are as many questions as a batch asks, and more where batches are refilled."""
    settings, count = given.config.grpo, len(given.problems)
    wanted = max(1, settings.rollout_batch // given.config.rollout.per_question)
    remedy = "use a larger --size, or a smaller --rollout-batch"
    if count < wanted:
        return doubtful(
            f"a batch asks {wanted} questions and there are {count}, so it asks some more than "
            f"once; {remedy}"
        )
    if settings.dynamic_sampling and count == wanted:
        return doubtful(
            f"a batch asks all {count} questions, so dynamic sampling finds no others to refill it "
            f"with; {remedy}"
        )
    passes = wanted * settings.steps / count
    return fine(f"{count:,} questions, {wanted} in a batch: {passes:.3g} passes over them")


def _stop(given: PreflightInput) -> Result:
    """The tokenizer can say the stop strings, and the cap leaves room for them."""
    rollout, cap = given.config.rollout, _cap(given)
    if rollout.min_tokens >= cap:
        return doubtful(
            f"no response may end before {rollout.min_tokens} tokens and all are cut at {cap}; "
            "lower rollout.min_tokens, or raise --rollout-max-tokens"
        )
    stops = required(rollout.stop, "rollout.stop")
    for stop in stops:
        ids = encode_prompt(given.tokenizer, stop)
        if stop not in given.tokenizer.decode(ids):
            return fatal(
                f"the tokenizer gives the stop string {stop} back as something else, so no "
                "response can reach it; choose another rollout.stop"
            )
        if len(ids) > cap:
            return fatal(
                f"the stop string {stop} takes {len(ids)} tokens and a response has at most {cap}, "
                "so none can reach it; raise --rollout-max-tokens"
            )
    shown = f"{', '.join(stops)}, EOS" if stops else "EOS"
    return fine(f"responses end with {shown} or at {cap} tokens")


def _grader(given: PreflightInput) -> Result:
    """The grader of the rewards can judge every question, and accepts worked solutions."""
    grader = given.config.rollout.grader
    if grader is GraderName.MULTIPLE_CHOICE:
        other = next((p for p in given.problems if not is_choice(p)), None)
        if other is not None:
            return fatal(
                f"grader multiple_choice reads letters of options, and training problem {other.id} "
                "shows none; choose another --train-grader"
            )
    worked = [p for p in given.problems if given.template.target(p) is not None]
    sample = worked[:: max(1, -(-len(worked) // _SAMPLE))]
    if not sample:
        return fine(f"the {grader} grader rewards; there is no worked solution to try it on")
    share = sum(targets_graded_right(sample, given.template, grader)) / len(sample)
    text = (
        f"the {grader} grader rewards; it accepts {share:.1%} of {len(sample)} worked solutions "
        "looked at"
    )
    if share == 0:
        return fatal(
            f"{text}, so it may reward no answer at all; choose a --train-grader that fits the "
            f"prompt {given.template.name}"
        )
    return fine(text) if share >= _NEARLY_ALL else doubtful(f"{text}; look at the data's truths")


def _context(given: PreflightInput) -> Result:
    """Prompt and response fit into the model's context."""
    prompt, cap = max(example.prompt_length for example in given.examples), _cap(given)
    text = f"prompts have up to {prompt} tokens and responses up to {cap}"
    if given.max_context is None:
        return fine(text)
    if prompt >= given.max_context:
        return fatal(
            f"the longest prompt has {prompt} tokens, and the model reads at most "
            f"{given.max_context}, response included; leave such problems out, or take a model "
            "with a longer context"
        )
    if prompt + cap > given.max_context:
        return doubtful(
            f"{text}, more than the model's {given.max_context} positions, so long prompts get a "
            "shorter cap; lower --rollout-max-tokens"
        )
    return fine(f"{text}, which fit into the model's {given.max_context} positions")


def _reward(given: PreflightInput) -> Result:
    """Right answers are rewarded, and length is not punished everywhere."""
    settings, cap = given.config.grpo, _cap(given)
    buffer = settings.overlong_buffer
    if buffer is not None and buffer > cap:
        return fatal(
            f"an over-long buffer of {buffer} tokens under a cap of {cap} punishes every response; "
            f"use --overlong-buffer {max(1, cap // 4)}"
        )
    shown = ", ".join(f"{part} {weight:g}" for part, weight in settings.reward.items())
    if settings.reward.get(RewardPart.ANSWER, 0.0) <= 0:
        return doubtful(
            f"reward: {shown}; right answers gain nothing, so the policy learns only the rest"
        )
    return fine(f"reward: {shown}")


def _sampling(given: PreflightInput) -> Result:
    """Ratios of later updates have no edge."""
    rollout = given.config.rollout
    text = f"responses are sampled at temperature {rollout.temperature:g}, top-p {rollout.top_p:g}"
    if rollout.top_p < 1 and not given.config.grpo.on_policy:
        return doubtful(
            f"{text}: behind a batch's first update a token may lie outside of the nucleus, which "
            "makes its ratio rough; rollout.top_p=1 has no such edge"
        )
    return fine(text)


def _memory(given: PreflightInput) -> Result:
    if given.memory is None:
        return fine("no estimate was made")
    text = describe_memory(given.memory)
    if given.config.grpo.kl > 0:
        text = f"{text}; the reference policy of --kl takes its weights once more"
    return fine(text) if given.memory.fits else doubtful(text)


def _cap(given: PreflightInput) -> int:
    return required(given.config.rollout.max_tokens, "rollout.max_tokens")


_WARNING, _ERROR = Severity.WARNING, Severity.ERROR

GRPO_CHECKS = (
    Check("groups", "group size and rollout batch against the loss", _ERROR, _groups),
    Check("supply", "the number of questions against what a batch asks", _WARNING, _supply),
    Check("stop", "stop strings in the tokenizer and under the cap", _ERROR, _stop),
    Check("grader", "the training grader against worked solutions", _ERROR, _grader),
    Check("context", "prompts and the cap against the model's context", _ERROR, _context),
    Check("reward", "the parts of the reward", _ERROR, _reward),
    Check("sampling", "the nucleus against the number of updates", _WARNING, _sampling),
    Check("prompt", "the form of the prompts", _WARNING, targets.prompt),
    Check("answers", "one answer to a large share of the questions", _WARNING, data.answers),
    Check("questions", "copies, and questions with several answers", _WARNING, data.questions),
    Check("leakage", "training questions that the evaluation asks", _WARNING, data.leakage),
    Check("memory", "the estimated peak against what is available", _WARNING, _memory),
)
