"""What trainers record: every metric with its unit, its formula, and where it is computed.

docs/metrics.md is written from this table, and tests hold it against what runs have recorded.
"""

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a value counts."""

    NATS = "nats"
    TOKENS = "tokens"
    SECONDS = "s"
    PACE = "tokens/s"
    SHARE = "share, 0 to 1"
    COUNT = "count"
    RATE = "GB/s"
    NONE = "none"


class Topic(StrEnum):
    """What a group of metrics is about; every update records the first, no update the last."""

    UPDATE = "Every update"
    SFT = "SFT, DPO and Expert Iteration"
    ROLLOUTS = "Rollouts (GRPO and Expert Iteration)"
    COPIES = "Copies of the weights into an engine on a GPU"
    GRPO = "GRPO"
    EI = "Expert Iteration"
    DPO = "DPO"
    EVALUATION = "Evaluations"


@dataclass(frozen=True, slots=True)
class MetricMeaning:
    """One metric.

    Attributes:
        name: As the registry has it.
        topic: Which runs record it.
        unit: Of its values.
        formula: How it comes about.
        source: The file that computes it.
        once_per_batch: Recorded at the first update of a rollout batch or round only.
    """

    name: str
    topic: Topic
    unit: Unit
    formula: str
    source: str
    once_per_batch: bool = False


def _group(
    topic: Topic, source: str, *rows: tuple[str, Unit, str], once: bool = False
) -> tuple[MetricMeaning, ...]:
    return tuple(MetricMeaning(name, topic, unit, text, source, once) for name, unit, text in rows)


METRICS: tuple[MetricMeaning, ...] = (
    *_group(
        Topic.UPDATE,
        "trainers/sft.py",
        ("loss", Unit.NATS, "what is minimized: for SFT and EI the mean of -log p(token) over the "
         "supervised tokens of the step (sum over sequences / constant with sequence_sum); for "
         "GRPO the policy-gradient loss, for DPO the mean loss of its pairs; their scale is not "
         "that of a likelihood"),
        ("grad_norm", Unit.NONE, "Euclidean norm over all gradients, before clipping to clip_norm"),
        ("lr", Unit.NONE, "learning rate of this update"),
        ("step_seconds", Unit.SECONDS, "wall time of the update"),
        ("tokens_per_second", Unit.PACE, "tokens / step_seconds; for GRPO / update_seconds"),
    ),
    *_group(
        Topic.UPDATE,
        "trainers/accumulated.py",
        ("tokens", Unit.TOKENS, "prompt and response tokens of the update, without padding"),
        ("supervised_fraction", Unit.SHARE, "tokens that are learned from / tokens"),
        ("padding_share", Unit.SHARE, "positions computed for nothing / positions computed"),
    ),
    *_group(
        Topic.UPDATE,
        "trainers/loop.py",
        ("tokens_total", Unit.TOKENS, "sum of `tokens` up to this update, resumes included"),
        ("unchanged_share", Unit.SHARE, "weights that an update left bit for bit as they were / "
         "weights looked at; measured now and then; where roundings are random, those that had no "
         "chance to move"),
    ),
    *_group(
        Topic.SFT,
        "trainers/sft.py",
        ("epoch", Unit.NONE, "passes over the data behind this update"),
        ("shared_fraction", Unit.SHARE, "input tokens that were not computed, because examples of "
         "a micro-batch begin with the same ones / input tokens"),
    ),
    *_group(
        Topic.ROLLOUTS,
        "trainers/rollouts_facts.py",
        ("rollouts", Unit.COUNT, "responses of the batch"),
        ("problems", Unit.COUNT, "different problems among them"),
        ("right_share", Unit.SHARE, "responses right under the training grader / responses"),
        ("formatted_share", Unit.SHARE, "responses in its format / responses"),
        ("truncated_share", Unit.SHARE, "responses that the token cap ended / responses"),
        ("response_tokens", Unit.TOKENS, "mean length of a response"),
        ("response_tokens_p90", Unit.TOKENS, "90th percentile of the lengths"),
        ("rollout_entropy", Unit.NATS, "mean of -log p over all sampled tokens; they were drawn "
         "from p, so this estimates the entropy of a token without bias"),
        ("distinct_answers", Unit.NONE, "different answers / responses"),
        ("top_answer_share", Unit.SHARE, "responses with the most frequent answer / responses"),
        ("constant_share", Unit.SHARE, "largest share of one wrong answer outside the problem "
         "that gets it most often"),
        ("second_think_share", Unit.SHARE, "responses with a second think block / responses"),
        ("template_copy_share", Unit.SHARE, "responses that repeat the prompt's placeholders / "
         "responses"),
        ("degenerate_share", Unit.SHARE, "responses that end in a loop / responses"),
        once=True,
    ),
    *_group(
        Topic.ROLLOUTS,
        "trainers/grpo_batch.py",
        ("generate_seconds", Unit.SECONDS, "wall time of sampling the batch"),
        ("grade_seconds", Unit.SECONDS, "wall time of grading it"),
        ("sync_seconds", Unit.SECONDS, "wall time of copying the weights into the engine"),
        once=True,
    ),
    *_group(
        Topic.COPIES,
        "trainers/live_engine.py",
        ("copy_seconds", Unit.SECONDS, "wall time of getting the weights into the engine: waking "
         "it up, copying, and comparing its answers with the policy's"),
        ("copy_gb_per_second", Unit.RATE, "bytes of the weights in the engine's precision / "
         "copy_seconds"),
    ),
    *_group(
        Topic.GRPO,
        "trainers/grpo_batch.py",
        ("reward", Unit.NONE, "mean over responses of the sum of weight x part"),
        ("reward_answer", Unit.NONE, "mean of the part `answer`, before its weight"),
        ("reward_format", Unit.NONE, "mean of the part `format`, before its weight"),
        ("reward_length", Unit.NONE, "mean of the part `length`, before its weight"),
        ("reward_closed", Unit.NONE, "mean of the part `closed`, before its weight"),
        ("reward_overlong", Unit.NONE, "mean of what --overlong-buffer takes off; 0 or less"),
        ("zero_advantage_share", Unit.SHARE, "responses whose advantage is 0 / responses"),
        ("advantage_std", Unit.NONE, "square root of the mean squared advantage"),
        ("refills", Unit.COUNT, "times that dynamic sampling asked again"),
        once=True,
    ),
    *_group(
        Topic.GRPO,
        "trainers/grpo_gradients.py",
        ("entropy", Unit.NATS, "mean entropy of the policy's distribution over the tokens learned "
         "from; for Expert Iteration the same as rollout_entropy"),
        ("clip_fraction", Unit.SHARE, "tokens whose ratio was clipped / tokens learned from"),
        ("ratio_max", Unit.NONE, "largest ratio p(new) / p(old) of a token"),
        ("engine_gap", Unit.NATS, "mean of |log p(trainer) - log p(engine)| at sampling time"),
        ("engine_gap_max", Unit.NATS, "the largest of them"),
        ("kl", Unit.NATS, "mean estimate of the KL divergence from the initial policy per token; "
         "only with --kl above 0"),
    ),
    *_group(
        Topic.GRPO,
        "trainers/grpo.py",
        ("update_seconds", Unit.SECONDS, "wall time of the update without sampling"),
    ),
    *_group(
        Topic.EI,
        "trainers/kept.py",
        ("solved_share", Unit.SHARE, "questions with a right response / questions asked"),
        ("kept", Unit.COUNT, "responses that are learned from"),
        ("kept_problems", Unit.COUNT, "problems that they belong to"),
        ("distinct_share", Unit.SHARE, "right responses that repeat no other / right responses"),
        once=True,
    ),
    *_group(
        Topic.DPO,
        "trainers/dpo.py",
        ("reward_chosen", Unit.NATS, "mean over pairs of beta (log p - log p_ref) of the chosen "
         "response"),
        ("reward_rejected", Unit.NATS, "the same of the rejected response"),
        ("margin", Unit.NATS, "reward_chosen - reward_rejected"),
        ("preference_accuracy", Unit.SHARE, "pairs whose chosen response has the larger reward / "
         "pairs; equal ones count half"),
        ("log_prob_chosen", Unit.NATS, "mean log-probability of a chosen response"),
        ("log_prob_rejected", Unit.NATS, "mean log-probability of a rejected response"),
        ("log_prob_seconds", Unit.SECONDS, "wall time of the pass without gradients"),
    ),
    *_group(
        Topic.EVALUATION,
        "core/evaluation.py",
        ("accuracy", Unit.SHARE, "type1 / n under the headline grader; n: responses"),
        ("accuracy.GRADER", Unit.SHARE, "type1 / n under that grader"),
        ("type1", Unit.COUNT, "responses that are formatted and right"),
        ("type2", Unit.COUNT, "responses that are formatted and wrong"),
        ("type3", Unit.COUNT, "responses that are not formatted"),
        ("unclosed", Unit.SHARE, "responses whose last <answer> is not closed / n"),
        ("unparseable", Unit.SHARE, "closed responses without exactly one number in the answer / "
         "responses whose truth is a number"),
        ("truncated", Unit.SHARE, "responses that the token cap ended / n"),
    ),
    *_group(
        Topic.EVALUATION,
        "core/registry/records.py",
        ("closure gap", Unit.NONE, "points: diagnostic accuracy - accuracy, what unclosed answers "
         "cost"),
        ("format gap", Unit.NONE, "points: lenient accuracy - accuracy, what the format costs at "
         "most"),
    ),
)  # fmt: skip
"""Every metric that a trainer records, and the figures of an evaluation."""

BY_NAME = {metric.name: metric for metric in METRICS}
