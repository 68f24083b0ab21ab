"""One batch of responses, token by token: prefill, choose, append, drop what has ended."""

import inspect
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from core.engines.base import Sampling
from core.engines.streaming import ResponseStream

if TYPE_CHECKING:
    import torch

# Rows that have ended are dropped from the cache once they are this share of the batch: dropping
# copies the cache, which is not worth it for single rows.
_COMPACT_SHARE = 1 / 8


def decode_batch(
    model: Any, streams: Sequence[ResponseStream], sampling: Sampling, end_ids: Collection[int]
) -> Iterator[int]:
    """Decode until every response has ended; the streams hold the results.

    Args:
        model: A causal language model in evaluation mode.
        streams: One response each, none begun.
        sampling: Decoding settings.
        end_ids: Ids that end a response.

    Yields:
        How many responses ended, whenever some did.
    """
    import torch

    with torch.inference_mode():
        batch = _Batch(model, streams, sampling)
        banned = torch.tensor(sorted(end_ids), dtype=torch.int64, device=model.device)
        step = 0
        logits = batch.prefill()
        while True:
            if step < sampling.min_tokens:
                logits.index_fill_(1, banned, float("-inf"))
            tokens, logprobs = choose_tokens(logits, sampling, batch.uniforms(step))
            finished = batch.accept(tokens, logprobs)
            if finished:
                yield finished
            if batch.done:
                return
            step += 1
            logits = batch.advance(tokens)


def choose_tokens(
    logits: "torch.Tensor", sampling: Sampling, uniforms: "torch.Tensor | None"
) -> tuple["torch.Tensor", "torch.Tensor | None"]:
    """Pick one token per row.

    Args:
        logits: Float32, shape (B, V); may be changed.
        sampling: Temperature, nucleus mass, and whether log-probabilities are wanted.
        uniforms: Float64 in [0, 1), shape (B,): one random number per row; None when greedy.

    Returns:
        Ids of shape (B,), and their log-probabilities in nats under the distribution they were
        drawn from (after temperature and nucleus), or None when not wanted. Greedy decoding
        reports log-probabilities at temperature 1, as vLLM does.
    """
    import torch

    if uniforms is None:
        tokens = logits.argmax(-1)
    else:
        logits = keep_nucleus(logits / sampling.temperature, sampling.top_p)
        # float64: a running sum over a large vocabulary in float32 would bias the tail
        mass = logits.double().softmax(-1).cumsum(-1)
        target = uniforms[:, None] * mass[:, -1:]
        # right=True finds the first entry above the target, so tokens of no mass are never taken
        tokens = torch.searchsorted(mass, target, right=True)[:, 0].clamp_(max=mass.shape[1] - 1)
    if not sampling.logprobs:
        return tokens, None
    return tokens, logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]


def keep_nucleus(logits: "torch.Tensor", top_p: float) -> "torch.Tensor":
    """Set everything outside the smallest set of mass `top_p` to -inf (Holtzman et al., 2020).

    Args:
        logits: Shape (B, V).
        top_p: Mass to keep, in (0, 1]; the likeliest token always stays.
    """
    import torch

    if top_p >= 1:
        return logits
    ordered, order = logits.sort(-1)
    outside = ordered.softmax(-1).cumsum(-1) <= 1 - top_p
    outside[:, -1] = False
    return logits.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), float("-inf"))


class _Batch:
    """Left-padded rows with their cache; rows that have ended leave it now and then."""

    def __init__(self, model: Any, streams: Sequence[ResponseStream], sampling: Sampling):
        import torch
        from transformers import DynamicCache

        self._model = model
        self._rows = list(streams)
        self._device = model.device
        self._cache = DynamicCache(config=model.config)
        self._ids, self._mask = _left_padded([s.request.prompt_ids for s in streams], self._device)
        self._positions = self._mask.sum(-1, keepdim=True)
        self._random = None if sampling.temperature == 0 else _random_table(streams)
        parameters = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._unpadded = bool(self._mask.all())
        self._torch = torch

    @property
    def done(self) -> bool:
        return all(row.finish is not None for row in self._rows)

    def uniforms(self, step: int) -> "torch.Tensor | None":
        if self._random is None:
            return None
        return self._random[:, step].to(self._device)

    def prefill(self) -> "torch.Tensor":
        positions = (self._mask.cumsum(-1) - 1).clamp_(min=0)
        return self._forward(self._ids, positions)

    def advance(self, tokens: "torch.Tensor") -> "torch.Tensor":
        tokens = self._compacted(tokens)
        ones = self._mask.new_ones((len(tokens), 1))
        self._mask = self._torch.cat([self._mask, ones], dim=1)
        logits = self._forward(tokens[:, None], self._positions)
        self._positions = self._positions + 1
        return logits

    def accept(self, tokens: "torch.Tensor", logprobs: "torch.Tensor | None") -> int:
        finished = 0
        values = [None] * len(self._rows) if logprobs is None else logprobs.tolist()
        for row, token, value in zip(self._rows, tokens.tolist(), values, strict=True):
            if row.finish is None:
                finished += row.accept(token, value) is not None
        return finished

    def _forward(self, ids: "torch.Tensor", positions: "torch.Tensor") -> "torch.Tensor":
        output = self._model(
            input_ids=ids,
            attention_mask=None if self._unpadded else self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            **self._last_only,
        )
        return output.logits[:, -1].float()

    def _compacted(self, tokens: "torch.Tensor") -> "torch.Tensor":
        live = [i for i, row in enumerate(self._rows) if row.finish is None]
        if len(live) > len(self._rows) * (1 - _COMPACT_SHARE):
            return tokens
        index = self._torch.tensor(live, device=self._device)
        self._cache.batch_select_indices(index)
        self._rows = [self._rows[i] for i in live]
        self._mask, self._positions = self._mask[index], self._positions[index]
        if self._random is not None:
            self._random = self._random[index.cpu()]
        return tokens[index]


def _left_padded(
    rows: Sequence[Sequence[int]], device: Any
) -> tuple["torch.Tensor", "torch.Tensor"]:
    import torch

    width = max(len(row) for row in rows)
    # what stands under the mask is never attended to; 0 is an id of every vocabulary
    ids = torch.zeros((len(rows), width), dtype=torch.int64)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    for index, row in enumerate(rows):
        ids[index, width - len(row) :] = torch.tensor(row, dtype=torch.int64)
        mask[index, width - len(row) :] = 1
    return ids.to(device), mask.to(device)


def _random_table(streams: Sequence[ResponseStream]) -> "torch.Tensor":
    """One row of uniform numbers per request, from its own seed: batching cannot change them."""
    import torch

    width = max(stream.request.max_tokens for stream in streams)
    table = torch.zeros((len(streams), width), dtype=torch.float64)
    for row, stream in zip(table, streams, strict=True):
        generator = torch.Generator().manual_seed(stream.request.seed)
        count = stream.request.max_tokens
        row[:count] = torch.rand(count, generator=generator, dtype=torch.float64)
    return table
