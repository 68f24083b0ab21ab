"""The engine that needs nothing but transformers: batched decoding with a key-value cache."""

from collections.abc import Collection, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.batches import batched
from core.engines.base import (
    Completion,
    EngineError,
    GenerationProgress,
    Sampling,
    TokenPrompt,
)
from core.engines.footprint import HF_BATCH
from core.engines.hf_decoding import decode_batch
from core.engines.isolation import preserved_rng
from core.engines.requests import Request, plan_requests
from core.engines.streaming import ResponseStream
from core.engines.transfer import wait_for
from core.engines.weights import OUTPUT_HEAD, WeightContract
from core.models import end_token_ids, load_config, load_tokenizer, prepare_imports
from core.pretrained import load_causal_lm

if TYPE_CHECKING:
    import torch

NAME = "hf"


class HfEngine:
    """Text generation with a transformers model of its own.

    Requests are sorted by prompt length and decoded in batches; each has its own random numbers,
    so a response does not depend on the others in its batch (beyond rounding of the forward pass).
    """

    name = NAME

    def __init__(
        self,
        model_dir: Path,
        *,
        dtype: str,
        device: str,
        seed: int = 0,
        batch_size: int = HF_BATCH,
        max_model_len: int | None = None,
        dummy_weights: bool = False,
        sleeps: bool = False,
    ):
        """Load a model.

        Args:
            model_dir: Folder with config, safetensors and tokenizer.
            dtype: Name of a torch dtype, for example `float32`.
            device: `cpu` or a CUDA device.
            seed: Seed of dummy weights; sampling takes its own.
            batch_size: Responses decoded together.
            max_model_len: Prompt and response together; the model's own limit when None.
            dummy_weights: Do not read weights, they will come by `load_weights`.
            sleeps: `sleep` gives the memory of the weights back.
        """
        self.version = version("transformers")
        self.dtype = dtype
        self.weight_path = "within the process" if device == "cpu" else "within the GPU"
        self._sleeps = sleeps
        self._asleep: list[torch.Size] = []
        self._batch_size = batch_size
        self._contract: WeightContract | None = None
        self._model_dir = model_dir
        with preserved_rng():
            self._tokenizer = load_tokenizer(model_dir)
            self._model: Any = _load_model(model_dir, dtype, device, seed, dummy_weights)
        self._end_ids = end_token_ids(model_dir, self._tokenizer)
        limit = self._model.config.get_text_config().max_position_embeddings
        self.max_model_len = min(limit, max_model_len or limit)

    def generate(
        self,
        prompts: Sequence[str | TokenPrompt],
        sampling: Sampling,
        on_progress: GenerationProgress | None = None,
    ) -> list[list[Completion]]:
        """Complete every prompt `sampling.n` times; see `InferenceEngine.generate`.

        Raises:
            UserError: a prompt does not fit, or a sampling setting is out of range.
            EngineError: the engine is closed, or has slept since its weights came.
        """
        self._check_open()
        if self._asleep:
            raise EngineError("the engine has slept; call load_weights first")
        requests = plan_requests(prompts, sampling, self._tokenizer, self.max_model_len)
        groups: list[list[Completion | None]] = [[None] * sampling.n for _ in prompts]
        done = 0
        with preserved_rng():
            for batch in _batches(requests, self._batch_size):
                streams = self._streams(batch, sampling, self._end_ids)
                for finished in decode_batch(self._model, streams, sampling, self._end_ids):
                    done += finished
                    if on_progress is not None:
                        on_progress(done, len(requests))
                for stream in streams:
                    request = stream.request
                    groups[request.prompt][request.sample] = stream.completion()
        return [[item for item in group if item is not None] for group in groups]

    def load_weights(self, weights: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        """Copy named tensors into the engine's model; see `InferenceEngine.load_weights`.

        Raises:
            EngineError: names or shapes do not match (nothing is copied), or the engine is closed.
        """
        import torch

        self._check_open()
        with preserved_rng():
            if self._contract is None:
                self._contract = WeightContract(self._model_dir)
            named = self._contract.check(weights)
        if self._contract.tied:
            named.pop(OUTPUT_HEAD, None)
        if self._asleep:
            _take_memory(self._model, self._asleep)
            self._asleep = []
        own = self._model.state_dict()
        with torch.no_grad():
            for name, tensor in named.items():
                own[name].copy_(tensor.detach())
        wait_for(self._model.device)

    def sleep(self) -> None:
        """Drop the numbers of the weights, where the engine was started to do so.

        Raises:
            EngineError: the engine is closed.
        """
        self._check_open()
        if self._sleeps and not self._asleep:
            self._asleep = _give_memory_back(self._model)

    def close(self) -> None:
        """Drop the model."""
        self._model = None
        self._contract = None

    def _streams(
        self, batch: Sequence[Request], sampling: Sampling, end_ids: Collection[int]
    ) -> list[ResponseStream]:
        return [ResponseStream(request, sampling, self._tokenizer, end_ids) for request in batch]

    def _check_open(self) -> None:
        if self._model is None:
            raise EngineError("this engine is closed")


def _batches(requests: Sequence[Request], size: int) -> list[list[Request]]:
    """Neighbours in length go together, so that little is padded; longest first."""
    ordered = sorted(requests, key=lambda r: len(r.prompt_ids), reverse=True)
    return list(batched(ordered, size))


def _give_memory_back(model: Any) -> list["torch.Size"]:
    """Drop the numbers of all parameters; returns their shapes, in order."""
    import torch

    shapes = [parameter.shape for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.data = parameter.data.new_empty(0)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return shapes


def _take_memory(model: Any, shapes: Sequence["torch.Size"]) -> None:
    """Give all parameters room for their numbers again; tied ones are one and the same."""
    for parameter, shape in zip(model.parameters(), shapes, strict=True):
        parameter.data = parameter.data.new_empty(shape)


def _load_model(model_dir: Path, dtype: str, device: str, seed: int, dummy: bool) -> Any:
    prepare_imports()
    import torch
    from transformers import AutoModelForCausalLM

    if dummy:
        torch.manual_seed(seed)
        config = load_config(model_dir)
        model = AutoModelForCausalLM.from_config(
            config, dtype=getattr(torch, dtype), attn_implementation="sdpa"
        )
    else:
        model = load_causal_lm(model_dir, dtype)
    return model.to(device).eval().requires_grad_(False)
