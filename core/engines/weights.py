"""Checking named tensors against a model's architecture, before and after an engine takes them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.engines.base import EngineError
from core.models import load_config, prepare_imports

if TYPE_CHECKING:
    import torch

OUTPUT_HEAD = "lm_head.weight"
INPUT_EMBEDDING = "model.embed_tokens.weight"


class WeightContract:
    """What a model folder's architecture expects: names, shapes, tied weights, reference values.

    Attributes:
        tied: The output head is the input embedding.
        shapes: Of every weight, by name.
    """

    def __init__(self, model_dir: Path):
        self._model = _skeleton(model_dir)
        self._model.eval()
        self.tied = bool(self._model.config.get_text_config().tie_word_embeddings)
        self.shapes = {
            name: tuple(tensor.shape) for name, tensor in self._model.state_dict().items()
        }

    def check(self, weights: Iterable[tuple[str, "torch.Tensor"]]) -> dict[str, "torch.Tensor"]:
        """Compare names and shapes; returns the weights as a dictionary.

        With tied embeddings the output head may be left out; it is added, because an engine that
        keeps its own copy of the head would go on with the old one in silence.

        Raises:
            EngineError: a name is missing, unknown or given twice, or a shape differs.
        """
        named = _unique(weights)
        if self.tied and OUTPUT_HEAD in self.shapes and INPUT_EMBEDDING in named:
            named.setdefault(OUTPUT_HEAD, named[INPUT_EMBEDDING])
        missing = sorted(self.shapes.keys() - named.keys())
        unknown = sorted(named.keys() - self.shapes.keys())
        if missing or unknown:
            raise EngineError(
                f"weights do not fit the model: {_listed('missing', missing)}"
                f"{_listed('unknown', unknown)}nothing was copied"
            )
        for name, tensor in named.items():
            if tuple(tensor.shape) != self.shapes[name]:
                raise EngineError(
                    f"weight {name} has shape {tuple(tensor.shape)} where the model has "
                    f"{self.shapes[name]}; nothing was copied"
                )
        return named

    def reference_logprobs(
        self, weights: Mapping[str, "torch.Tensor"], token_ids: list[int], dtype: str = "bfloat16"
    ) -> "torch.Tensor":
        """Log-probabilities of `token_ids[1:]` under weights: shape (n - 1,), float32 nats, on CPU.

        The tensors are used where they lie, in their own precision: where they differ in it, in
        that of most numbers, so that few are copied. For an engine in float32 those in bfloat16
        are widened. No gradient is kept.

        Args:
            weights: Name to tensor.
            token_ids: What is read.
            dtype: Precision of the engine that the figures are compared with.
        """
        import torch

        given = {n: t.detach() for n, t in weights.items() if not (self.tied and n == OUTPUT_HEAD)}
        sizes = Counter[torch.dtype]()
        for tensor in given.values():
            sizes[tensor.dtype] += tensor.numel()
        ((usual, _),) = sizes.most_common(1)
        if dtype == "float32":
            usual = torch.promote_types(usual, torch.float32)
        given = {name: tensor.to(usual) for name, tensor in given.items()}
        device = next(iter(given.values())).device
        buffers = {n: b.to(device) for n, b in self._model.named_buffers() if n not in given}
        ids = torch.tensor([token_ids], device=device)
        with torch.inference_mode():
            output = torch.func.functional_call(
                self._model, (given, buffers), (ids,), {"use_cache": False}
            )
            logits = output.logits[0, :-1].float()
            return logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0].cpu()


def _skeleton(model_dir: Path) -> Any:
    """The transformers model without memory for its matrices: they stay on the meta device."""
    prepare_imports()
    import torch
    from torch.overrides import TorchFunctionMode
    from transformers import AutoModelForCausalLM

    class MatricesOnMeta(TorchFunctionMode):
        # parameters are made by torch.empty; buffers such as rotary frequencies are computed
        # values, which must be real
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            if func is torch.empty:
                kwargs["device"] = "meta"
            return func(*args, **kwargs)

    config = load_config(model_dir)
    with MatricesOnMeta():
        return AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa"
        )


def _unique(weights: Iterable[tuple[str, "torch.Tensor"]]) -> dict[str, "torch.Tensor"]:
    named: dict[str, torch.Tensor] = {}
    for name, tensor in weights:
        if name in named:
            raise EngineError(f"weight {name} is given twice; nothing was copied")
        named[name] = tensor
    return named


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{more}; "
