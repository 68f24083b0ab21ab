"""The model being trained: loading, precision, and log-probabilities without full logits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.config.schema import Attention
from core.errors import UserError
from core.models import load_tokenizer
from core.pretrained import load_causal_lm
from trainers.accumulated import Accumulated
from trainers.activation_checkpointing import activation_checkpointing_is_on
from trainers.batching import split_microbatches
from trainers.evaluation_mode import evaluating
from trainers.fast.layout import pack
from trainers.fast.microbatches import split_by_prompt
from trainers.fast.passes import WrittenOut, written_out
from trainers.logit_rules import PLAIN, LogitRules
from trainers.objectives import SftLoss
from trainers.objectives.token_losses import number_or_scalar
from trainers.packed.choice import refuse_variable_length
from trainers.packed.compiled import Compilation, compile_layers
from trainers.packed.feed import RowFeed
from trainers.packed.forward import (
    read_targets_packed,
    supervised_loss_packed,
    token_loss_packed,
)
from trainers.packed.prepare import Packing, prepare_packed
from trainers.packed.projection_choice import (
    ProjectionChoice,
    ProjectionSize,
    choose_projection,
)
from trainers.packed.row import PackedRow, split_rows
from trainers.padded_head import project_targets
from trainers.precision import Precision, precision_named
from trainers.reading import (
    PLAIN_READING,
    Reading,
    TargetLogProbs,
    TokenLoss,
    reading_of,
)
from trainers.tokenization import IGNORED, Example, collate, padding_id


@dataclass(slots=True)
class Policy:
    """A causal language model with its tokenizer, ready to train.

    Attributes:
        model: A transformers causal LM; its parameters are in the format of the precision.
        tokenizer: Its tokenizer.
        device: Where the parameters are.
        precision: Number formats of weights and of matrix products.
        passes: Written-out forward and backward passes; None where the model or the device needs
            transformers' own.
        packing: Whether transformers' own passes take packed rows, and with which kernel; None
            where that was not asked.
        compilation: Whether layers are compiled; None where nobody asked yet.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    precision: Precision
    passes: WrittenOut | None = None
    packing: Packing | None = None
    compilation: Compilation | None = None
    _projection: ProjectionChoice | None = None
    _feed: RowFeed | None = field(default=None, repr=False)

    @property
    def how(self) -> str:
        """How forward and backward passes are computed, for the record."""
        return "; ".join(self.choices.values())

    @property
    def choices(self) -> dict[str, str]:
        """What was chosen on this machine, each with its reason."""
        if self.passes is not None:
            return {"attention": "written-out passes over packed rows"}
        if self.packing is None or not self.packed:
            return {"attention": "padded rows" if self.packing is None else self.packing.reason}
        found = {"attention": f"packed rows: {self.packing.reason}"}
        if self._projection is not None:
            found["projection"] = self._projection.reason
        if self.compilation is not None:
            found["layers"] = self.compilation.reason
        return found

    @property
    def packed(self) -> bool:
        """transformers' own passes take packed rows."""
        return self.passes is None and self.packing is not None and self.packing.kernel is not None

    @property
    def projection(self) -> ProjectionChoice | None:
        """What computes losses over the vocabulary; None before the first packed row."""
        return self._projection

    def split(
        self, examples: Sequence[Example], token_budget: int
    ) -> Iterator[tuple[Example, ...]]:
        """Micro-batches for `accumulate` and `log_probs`, as they suit how passes are computed.

        Where a row stores a prompt once, responses to it stay together.

        Args:
            examples: Those of one optimizer step.
            token_budget: Token positions per forward pass.
        """
        if self.passes is not None:
            return split_by_prompt(examples, token_budget)
        return self.split_apart(examples, token_budget)

    def split_apart(
        self, examples: Sequence[Example], token_budget: int
    ) -> Iterator[tuple[Example, ...]]:
        """Micro-batches of examples that share no prompt, as `split` makes them else."""
        if self.packed:
            return iter(split_rows(examples, token_budget))
        return split_microbatches(examples, token_budget)

    def ahead(self, microbatches: Sequence[Sequence[Example]]) -> None:
        """Make ready what the coming calls of `accumulate` or `log_probs` will be given."""
        if self.packed:
            self.feed.ahead(microbatches)

    @property
    def feed(self) -> RowFeed:
        """Where packed rows come from."""
        if self._feed is None:
            self._feed = RowFeed(self.device)
        return self._feed

    def accumulate(
        self,
        examples: Sequence[Example],
        loss: TokenLoss,
        rules: LogitRules = PLAIN,
        entropy: bool = False,
    ) -> Accumulated:
        """Add the gradient of a loss over the examples' targets to every parameter's `.grad`.

        Args:
            examples: One micro-batch.
            loss: A sum over targets: of their log-probabilities (n,) and their places (n,) among
                the targets of the micro-batch.
            rules: What the targets were sampled under; log-probabilities are of that distribution.
            entropy: Add up entropies too, without gradient.

        Raises:
            ValueError: a response ends where the rules do not let it.
        """
        reading = reading_of(examples, rules, entropy=entropy)
        if self.passes is not None:
            row = pack(examples, grain=self.passes.grain)
            self.passes.recompute = activation_checkpointing_is_on(self.model)
            value, found = self.passes.accumulate(row, loss, reading)
            return Accumulated(
                float(value), row.tokens, row.tokens - row.filled, _summed(found.entropy)
            )
        if self.packed:
            return self._accumulate_packed(examples, loss, reading)
        return self._accumulate_padded(examples, loss, reading)

    @torch.no_grad()
    def log_probs(
        self, examples: Sequence[Example], rules: LogitRules = PLAIN, entropy: bool = False
    ) -> TargetLogProbs:
        """Log-probabilities of the examples' targets, without gradients and without dropout.

        Args:
            examples: One micro-batch.
            rules: What the targets were sampled under; log-probabilities are of that distribution.
            entropy: Entropies too.

        Returns:
            Shape (n,), on the policy's device: example by example as given, each by position, as
            `accumulate` counts places.

        Raises:
            ValueError: a response ends where the rules do not let it.
        """
        reading = reading_of(examples, rules, entropy=entropy)
        if self.passes is not None:
            return self.passes.log_probs(pack(examples, grain=self.passes.grain), reading)
        reading = reading.to(self.device)
        with evaluating(self.model):
            if self.packed:
                row = self.feed.take(examples)
                with self._autocast():
                    return read_targets_packed(
                        self.model, row, reading, self._choose_projection(row).tokens
                    )
            ids, labels = collate(examples, padding_id(self.tokenizer))
            found = self.read_targets(ids.to(self.device), labels.to(self.device), reading)
            return TargetLogProbs(*found)

    def _accumulate_packed(
        self, examples: Sequence[Example], loss: TokenLoss, reading: Reading
    ) -> Accumulated:
        row, entropy = self.feed.take(examples), None
        choice = self._choose_projection(row)
        with self._autocast():
            if isinstance(loss, SftLoss) and reading.plain:
                value = supervised_loss_packed(self.model, row, loss.denominator, choice.projection)
            else:
                value, found = token_loss_packed(
                    self.model, row, loss, reading.to(self.device), choice.tokens
                )
                entropy = found.entropy
        value.backward()
        return Accumulated(number_or_scalar(value), row.positions, 0, _summed(entropy))

    def _choose_projection(self, row: PackedRow) -> ProjectionChoice:
        if self._projection is None:
            head = self.model.get_output_embeddings().weight
            self._projection = choose_projection(
                ProjectionSize(
                    positions=max(1, len(row.labels)),
                    hidden=head.shape[1],
                    vocabulary=head.shape[0],
                    dtype=self.precision.compute,
                    device=self.device,
                    parameters=head.dtype,
                )
            )
        return self._projection

    def run_like(self, other: "Policy") -> None:
        """Take over what another policy of the same shape found out about this machine."""
        self._projection = other._projection
        if self.packed and other.compilation is not None and other.compilation.on:
            compile_layers(self.model, fresh=False)
            self.compilation = other.compilation

    def _accumulate_padded(
        self, examples: Sequence[Example], loss: TokenLoss, reading: Reading
    ) -> Accumulated:
        ids, labels = collate(examples, padding_id(self.tokenizer))
        log_probs, entropy = self.read_targets(
            ids.to(self.device), labels.to(self.device), reading.to(self.device)
        )
        value = loss(log_probs, torch.arange(len(log_probs), device=self.device))
        value.backward()
        tokens = sum(len(example.token_ids) - 1 for example in examples)
        padding = ids.numel() - tokens
        return Accumulated(number_or_scalar(value), ids.numel(), padding, _summed(entropy))

    def read_targets(
        self, input_ids: Tensor, labels: Tensor, reading: Reading = PLAIN_READING
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probability of each supervised label and entropy of its distribution, in nats.

        Hidden states are projected to the vocabulary only where the label is not -100, and in
        chunks whose logits are recomputed in the backward pass, so full logits never exist. Rows
        are padded on the right: under a causal mask no real token sees the padding, so no
        attention mask is needed.

        Args:
            input_ids: Shape (B, T), int64.
            labels: Shape (B, T), int64; -100 where nothing is supervised.
            reading: Of the supervised labels, on the policy's device.

        Returns:
            Shape (S,): the S supervised positions in row-major order; float32, or float64 for
            a float64 model. Entropies have no gradient, and are None unless asked for.
        """
        with self._autocast():
            hidden = self.model.model(input_ids=input_ids, use_cache=False).last_hidden_state
            keep = labels != IGNORED
            return project_targets(hidden[keep], self.model.lm_head.weight, labels[keep], reading)

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """All weights under their `state_dict` names, detached, without copies."""
        for name, tensor in self.model.state_dict().items():
            yield name, tensor.detach()

    @property
    def max_positions(self) -> int | None:
        """Tokens of prompt and response that the model was built for; None where it is silent."""
        positions: int | None = getattr(self.model.config, "max_position_embeddings", None)
        return positions

    @property
    def version(self) -> int:
        """Grows whenever a weight is written to, by an update or by a copy."""
        return sum(parameter._version for parameter in self.model.parameters())

    def put_back(self, weights: Mapping[str, Tensor]) -> None:
        """Replace all weights, in place, by those that a `state_dict` of the model holds."""
        self.model.load_state_dict(weights)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.precision.autocast,
        )


def load_policy(
    folder: Path,
    *,
    device: str,
    precision: str,
    quick: bool = True,
    attention: Attention = Attention.AUTO,
) -> Policy:
    """Load a model folder for training.

    Args:
        folder: Holds config.json, safetensors and a tokenizer.
        device: `cpu` or `cuda`.
        precision: Name of a precision; weights are rounded to its format where they have more.
        quick: Look for passes that are quicker than transformers' own over padded rows; they need
            all weights in this process.
        attention: What computes attention; `auto` takes the quickest that works.

    Raises:
        UserError: transformers cannot build a causal language model from the folder, there is no
            such precision, or that attention does not work here.
    """
    found = precision_named(precision)
    model = load_causal_lm(folder, str(found.weights).removeprefix("torch."))
    model.to(device)
    model.train()
    policy = Policy(model, load_tokenizer(folder), torch.device(device), found)
    if not quick:
        refuse_variable_length(attention, "several processes share the weights and rows are padded")
    elif device != "cpu":
        policy.packing = prepare_packed(model, found.compute, wanted=attention)
    elif attention is not Attention.SDPA:
        refuse_variable_length(attention, "variable-length kernels need CUDA, and this is cpu")
        # packed rows through transformers gained nothing over length-sorted padding on CPUs
        policy.passes, _ = written_out(model, found.compute)
    return policy


def choose_device(wanted: str) -> str:
    """Resolve `auto` to CUDA when there is one.

    Raises:
        UserError: CUDA was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError(
            "device cuda was asked for, but torch sees no GPU; use --device cpu or auto"
        )
    if wanted == "auto":
        return "cuda" if available else "cpu"
    return wanted


def _summed(entropy: Tensor | None) -> float | Tensor | None:
    return None if entropy is None else number_or_scalar(entropy.sum())
