"""Preferences: the DPO family over pairs of responses, with its slopes for a second pass."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from core.config.methods import PreferenceLoss
from core.models import encode_prompt
from core.prompts.template import load_prompt
from trainers.objectives.pieces import get_response_log_probs

PLAIN_TEMPLATE = "plain"


class PreferenceTerms(NamedTuple):
    """What a batch of P pairs says, detached; all of shape (P,).

    Attributes:
        losses: Loss of each pair.
        slopes: Its derivative by the pair's margin. A chosen response's log-probability has this
            gradient, a rejected one's minus it: the weights of `WeightedLogProbLoss` are
            -slope / P on the tokens of the chosen and slope / P on those of the rejected response.
        margins: log(p / p_ref) of the chosen minus that of the rejected response, nats.
        chosen_rewards: beta log(p / p_ref) of the chosen response.
        rejected_rewards: The same of the rejected one.
    """

    losses: Tensor
    slopes: Tensor
    margins: Tensor
    chosen_rewards: Tensor
    rejected_rewards: Tensor


def preference_losses(
    margins: Tensor,
    beta: float,
    loss: PreferenceLoss = PreferenceLoss.SIGMOID,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Loss of each pair by its margin h, differentiable.

    `sigmoid`: l(h) = -log sigmoid(beta h) (DPO, equation 7); `ipo`: l(h) = (h - 1 / (2 beta))^2
    (IPO, equation 17). A share s of labels that is taken to be swapped gives
    (1 - s) l(h) + s l(-h), which for `sigmoid` is conservative DPO.

    Args:
        margins: log(p / p_ref) of the chosen minus that of the rejected response, nats.
        beta: Strength of the tie to the reference.
        loss: Which l.
        label_smoothing: s, at least 0 and below 0.5.
    """
    right = _pair_loss(margins, beta, loss)
    if not label_smoothing:
        return right
    return (1 - label_smoothing) * right + label_smoothing * _pair_loss(-margins, beta, loss)


def preference_coefficients(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float,
    loss: PreferenceLoss = PreferenceLoss.SIGMOID,
    label_smoothing: float = 0.0,
) -> PreferenceTerms:
    """Losses of pairs and their slopes, from log-probabilities of whole responses.

    Args:
        chosen: Of the preferred responses under the policy: sums over tokens, shape (P,), nats.
        rejected: The same of the others.
        ref_chosen: Of the preferred responses under the reference.
        ref_rejected: The same of the others.
        beta: Strength of the tie to the reference.
        loss: sigmoid or ipo.
        label_smoothing: Share of pairs taken to be labelled the wrong way round.
    """
    gains = (chosen - ref_chosen).detach()
    losses_of_rejected = (rejected - ref_rejected).detach()
    margins = gains - losses_of_rejected
    slopes = (1 - label_smoothing) * _pair_slope(margins, beta, loss)
    slopes = slopes - label_smoothing * _pair_slope(-margins, beta, loss)
    return PreferenceTerms(
        losses=preference_losses(margins, beta, loss, label_smoothing),
        slopes=slopes,
        margins=margins,
        chosen_rewards=beta * gains,
        rejected_rewards=beta * losses_of_rejected,
    )


def per_instance_dpo_loss(
    lm: Any,
    lm_ref: Any,
    tokenizer: Any,
    beta: float,
    prompt: str,
    response_chosen: str,
    response_rejected: str,
    template: str = "instruction",
) -> Tensor:
    """DPO loss of one pair, with a gradient for the policy.

    The prompt is put into the template, tokenized apart from what follows it, and without special
    tokens, as everywhere in training; then come the response, what the template has behind it, and
    EOS. Log-probabilities of the prompt are the same for both responses and cancel.

    Args:
        lm: The policy; called as `lm(input_ids)`, its result has `.logits`.
        lm_ref: The reference, on any device.
        tokenizer: Of both.
        beta: Strength of the tie to the reference.
        prompt: The question or instruction.
        response_chosen: The preferred response.
        response_rejected: The other one.
        template: Built-in name or path of a prompt template; `plain` joins prompt and response as
            they are, without EOS.

    Returns:
        Scalar, on the policy's device.

    Raises:
        UserError: there is no such template.
        ValueError: a template asks for EOS and the tokenizer has none, or a prompt has no token.
    """
    pairs = [
        _prompt_and_response_ids(tokenizer, prompt, response, template)
        for response in (response_chosen, response_rejected)
    ]
    chosen, rejected = (_response_log_prob(lm, *ids) for ids in pairs)
    with torch.no_grad():
        ref_chosen, ref_rejected = (_response_log_prob(lm_ref, *ids).to(chosen) for ids in pairs)
    return preference_losses((chosen - ref_chosen) - (rejected - ref_rejected), beta)


def _prompt_and_response_ids(
    tokenizer: Any, prompt: str, response: str, template: str
) -> tuple[list[int], list[int]]:
    if template == PLAIN_TEMPLATE:
        return encode_prompt(tokenizer, prompt), encode_prompt(tokenizer, response)
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no EOS token to end a response with")
    layout = load_prompt(template)
    # the newline that ends the file is an editor's: the course's packed sample has none before EOS
    tail = layout.text.partition("{response}")[2].removesuffix("\n")
    response_ids = encode_prompt(tokenizer, response + tail)
    prompt_ids = encode_prompt(tokenizer, layout.render(prompt))
    return prompt_ids, [*response_ids, int(tokenizer.eos_token_id)]


def _response_log_prob(model: Any, prompt_ids: list[int], response_ids: list[int]) -> Tensor:
    """Summed log-probability of a response, in nats."""
    if not prompt_ids:
        raise ValueError("a prompt without tokens leaves the response's first token unconditioned")
    device = next(model.parameters()).device
    ids = torch.tensor([prompt_ids + response_ids], dtype=torch.int64, device=device)
    log_probs = get_response_log_probs(model, ids[:, :-1], ids[:, 1:])["log_probs"]
    return log_probs[0, len(prompt_ids) - 1 :].sum()


def _pair_loss(margins: Tensor, beta: float, loss: PreferenceLoss) -> Tensor:
    if loss is PreferenceLoss.SIGMOID:
        return -F.logsigmoid(beta * margins)
    return (margins - 1 / (2 * beta)) ** 2


def _pair_slope(margins: Tensor, beta: float, loss: PreferenceLoss) -> Tensor:
    if loss is PreferenceLoss.SIGMOID:
        return -beta * torch.sigmoid(-beta * margins)
    return 2 * (margins - 1 / (2 * beta))
