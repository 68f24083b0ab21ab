"""The vLLM engine: in this process, with live weights, and with no trace in the trainer's state."""

import contextlib
import gc
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.engines.base import (
    Completion,
    EngineError,
    GenerationProgress,
    Sampling,
    TokenPrompt,
)
from core.engines.devices import VISIBLE, index_for_vllm, is_instance, normalize_visible_devices
from core.engines.gpu_options import ON_CPU, GpuOptions, vllm_options
from core.engines.gpus import listed_gpus
from core.engines.isolation import (
    captured_stderr,
    environment,
    preserved_rng,
    preserved_threads,
    release_memory_binding,
)
from core.engines.requests import Request, plan_requests
from core.engines.segments import plain_segments
from core.engines.stack import vllm_version
from core.engines.vllm_copy import WeightCopies
from core.engines.vllm_outputs import completion
from core.engines.vllm_setup import (
    ENVIRONMENT,
    MAX_SEQUENCES,
    LogBuffer,
    cache_bytes,
    imports_set_aside,
    quiet_logging,
    register_architectures,
)
from core.engines.weights import WeightContract
from core.models import end_token_ids, load_config, load_tokenizer, prepare_imports

if TYPE_CHECKING:
    import torch

NAME = "vllm"
_WEIGHTS, _CACHE = "weights", "kv_cache"  # as vLLM's sleep mode names them
_SHARE_OF_FREE = 0.9
_CANARY_TOKENS = 33
# Mean absolute difference of log-probabilities in nats. Measured: 1e-6 in float32 and under 0.1 in
# bfloat16 when the copy is right; whole nats when a weight is stale.
_CANARY_TOLERANCE = {"float32": 2e-3, "float16": 0.05, "bfloat16": 0.25}


class VllmEngine:
    """vLLM behind the `InferenceEngine` protocol, on CPU and on CUDA."""

    name = NAME

    def __init__(
        self,
        model_dir: Path,
        *,
        dtype: str,
        device: str,
        seed: int = 0,
        max_model_len: int,
        dummy_weights: bool = False,
        gpu: GpuOptions = ON_CPU,
    ):
        """Start an engine; at most one at a time in a process.

        Args:
            model_dir: Folder with config, safetensors and tokenizer.
            dtype: `float32`, `bfloat16` or `float16`.
            device: `cpu` or a CUDA device.
            seed: Seed of vLLM itself; sampling takes its own.
            max_model_len: Prompt and response together, in tokens; cut to the model's limit.
            dummy_weights: Do not read weights, they will come by `load_weights`.
            gpu: How it uses its GPU.

        Raises:
            EngineError: vLLM cannot start.
        """
        self.weight_path = "within the process" if device == "cpu" else "within the GPU"
        self.version = vllm_version() or "unknown"
        self.dtype = dtype
        self._model_dir = model_dir
        self._log = LogBuffer()
        self._environment = dict(ENVIRONMENT)
        self._contract: WeightContract | None = None
        self._copies = WeightCopies(dtype, on_cpu=device == "cpu")
        self._numbers = itertools.count()
        self._llm: Any = None
        self._broken: str | None = None
        self._has_weights = not dummy_weights
        self._sleeps = gpu.sleeps and device != "cpu"
        self._asleep: set[str] = set()
        if device != "cpu":
            normalize_visible_devices()
        self._tokenizer = load_tokenizer(model_dir)
        self._end_ids = end_token_ids(model_dir, self._tokenizer)
        with self._working("start"), preserved_rng():
            self._start(
                device=device,
                seed=seed,
                max_model_len=max_model_len,
                gpu=gpu,
            )

    def generate(
        self,
        prompts: Sequence[str | TokenPrompt],
        sampling: Sampling,
        on_progress: GenerationProgress | None = None,
    ) -> list[list[Completion]]:
        """Complete every prompt `sampling.n` times; see `InferenceEngine.generate`.

        Raises:
            UserError: a prompt does not fit, or a sampling setting is out of range.
            EngineError: vLLM failed (the engine is then unusable), or has no weights yet.
        """
        self._check_usable()
        if not self._has_weights:
            why = "has slept" if self._asleep else "was started without weights"
            raise EngineError(f"the engine {why}; call load_weights first")
        requests = plan_requests(prompts, sampling, self._tokenizer, self.max_model_len)
        groups: list[list[Completion | None]] = [[None] * sampling.n for _ in prompts]
        with self._working("generate"), preserved_rng():
            # a prefix that is cached rounds as it did in the batch it came from: what is
            # generated must not depend on what was asked before
            self._reset_prefix_cache()
            for done, (request, output) in enumerate(self._run(requests, sampling), 1):
                groups[request.prompt][request.sample] = completion(output, sampling)
                if on_progress is not None:
                    on_progress(done, len(requests))
        return [[item for item in group if item is not None] for group in groups]

    def load_weights(self, weights: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        """Copy the live policy in, empty the prefix cache, and check the result.

        On a GPU and for the first copy this is vLLM's reload; on a CPU later copies go straight
        into the layers, if a rehearsal shows that this comes to the same, and vLLM packs a layer
        for its matrix kernel when it next generates. After each reload, and after the first and
        every 64th of the other copies, log-probabilities of a fixed token sequence are compared
        with those of the given tensors in transformers: a copy that went wrong in silence is found
        there. After all the others a part of the layers is read back, so that within sixteen
        copies each has been.

        Raises:
            EngineError: names or shapes do not match (nothing was copied, the engine stays
                usable), or the copy failed or does not agree (the engine is unusable).
        """
        self._check_usable()
        if self._contract is None:
            with self._working("prepare the weights"), preserved_rng():
                self._contract = WeightContract(self._model_dir)
        contract = self._contract
        named = contract.check(weights)
        # straight into the layers nothing of vLLM's runs, and its surroundings would cost a tenth
        around = quiet_logging(self._log) if self._copies.in_place else self._vllm_at_work()
        with self._working("load weights", around):
            self._wake_up(_WEIGHTS)
            compare = self._copies.copy(self._llm, contract, named)
            if not compare:
                self._open_cache()
        if compare:
            with self._working("load weights"), preserved_rng():
                self._check_canary(contract, named)
        self._has_weights = True

    def sleep(self) -> None:
        """Give the memory of weights and cache back, where the engine was started to do so.

        vLLM on the CPU has no such mode: it stays as it is.

        Raises:
            EngineError: vLLM failed.
        """
        self._check_usable()
        if not self._sleeps or self._asleep:
            return
        with self._working("sleep"), preserved_rng():
            # nothing is kept in main memory: the policy's weights come anew in any case
            self._has_weights = False
            self._llm.sleep(level=2)
            self._asleep = {_WEIGHTS, _CACHE}

    def close(self) -> None:
        """Shut vLLM down and return its memory."""
        llm, self._llm, self._contract = self._llm, None, None
        self._copies.forget()
        if llm is None:
            return
        asleep, self._asleep = self._asleep, set()
        with self._surroundings(), captured_stderr() if asleep else contextlib.nullcontext():
            if asleep and self._broken is None:
                # vLLM frees what is there; it complains of memory that is gone, and where there is
                # no room for it any more, that is all
                with contextlib.suppress(RuntimeError):
                    llm.wake_up()
            llm.llm_engine.engine_core.shutdown()
            del llm
            gc.collect()

    def _start(self, *, device: str, seed: int, max_model_len: int, gpu: GpuOptions) -> None:
        prepare_imports()
        config = load_config(self._model_dir).get_text_config()
        self.max_model_len = min(max_model_len, config.max_position_embeddings)
        options = self._cpu_options(config) if device == "cpu" else self._gpu_options(gpu)
        from vllm import LLM

        register_architectures(self._model_dir)
        with imports_set_aside(), plain_segments(wanted=gpu.sleeps):
            self._llm = LLM(
                str(self._model_dir),
                load_format="auto" if self._has_weights else "dummy",
                dtype=self.dtype,
                seed=seed,
                max_model_len=self.max_model_len,
                max_num_seqs=MAX_SEQUENCES,
                enable_prefix_caching=True,
                logprobs_mode="processed_logprobs",
                generation_config="vllm",
                disable_log_stats=True,
                use_tqdm_on_load=False,
                **options,
            )

    def _cpu_options(self, config: Any) -> dict[str, Any]:
        return {
            "kv_cache_memory_bytes": cache_bytes(config, self.dtype, self.max_model_len),
            # where a prompt is read in pieces, vLLM turns the request's random numbers back, which
            # those of a CPU cannot do: it would fail as soon as prompts do not all fit one step
            "enable_chunked_prefill": False,
            # compiling takes half a minute on CPU and pays for itself only on a GPU
            "enforce_eager": True,
        }

    def _gpu_options(self, gpu: GpuOptions) -> dict[str, Any]:
        """Settle what vLLM reads of this GPU before it starts there."""
        import torch

        torch.cuda.empty_cache()  # what the trainer does not use counts as free
        free, total = torch.cuda.mem_get_info()
        # CUDA has read the variable by now, so that another value only reaches vLLM
        visible = os.environ.get(VISIBLE, "").strip()
        if is_instance(visible) and (index := index_for_vllm(visible, listed_gpus())):
            os.environ[VISIBLE] = index
        share = _SHARE_OF_FREE * free / total if gpu.share is None else gpu.share
        return vllm_options(gpu, share)

    def _wake_up(self, what: str) -> None:
        """Take the memory of weights or cache again, if the engine sleeps."""
        if what in self._asleep:
            import torch

            # memory that the trainer keeps for its next update would be missing here
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            self._llm.wake_up(tags=[what])
            self._asleep.discard(what)

    def _open_cache(self) -> None:
        """The last part of waking up, and of every copy: an empty cache."""
        self._wake_up(_CACHE)
        self._reset_prefix_cache()

    def _run(
        self, requests: Sequence[Request], sampling: Sampling
    ) -> Iterator[tuple[Request, Any]]:
        """Feed the requests to vLLM and yield each with its output as it finishes."""
        engine = self._llm.llm_engine
        waiting: dict[str, Request] = {}
        for request in requests:
            number = str(next(self._numbers))
            prompt = {"prompt_token_ids": list(request.prompt_ids)}
            engine.add_request(number, prompt, self._parameters(request, sampling))
            waiting[number] = request
        while engine.has_unfinished_requests():
            for output in engine.step():
                if output.finished:
                    yield waiting.pop(output.request_id), output.outputs[0]
        if waiting:
            raise RuntimeError(f"{len(waiting)} requests were never answered")

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=request.max_tokens,
            min_tokens=min(sampling.min_tokens, request.max_tokens),
            stop=list(sampling.stop),
            stop_token_ids=list(self._end_ids),
            include_stop_str_in_output=True,
            seed=request.seed,
            logprobs=0 if sampling.logprobs else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _reset_prefix_cache(self) -> None:
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("the prefix cache could not be emptied")

    def _check_canary(self, contract: WeightContract, weights: dict[str, "torch.Tensor"]) -> None:
        from vllm import SamplingParams

        length = min(_CANARY_TOKENS, self.max_model_len - 1)
        size = len(self._tokenizer)
        ids = [(7919 * position + 13) % size for position in range(length)]
        expected = contract.reference_logprobs(weights, ids, self.dtype).tolist()
        # what came for this copy alone is let go of before the cache takes its memory
        weights.clear()
        self._open_cache()
        parameters = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0)
        (output,) = self._llm.generate([{"prompt_token_ids": ids}], parameters, use_tqdm=False)
        # the first token has nothing before it and therefore no log-probability
        entries = zip(output.prompt_logprobs[1:], ids[1:], strict=True)
        found = [entry[token].logprob for entry, token in entries]
        if not all(map(math.isfinite, expected)):
            raise RuntimeError("the policy's own log-probabilities are not finite; it has diverged")
        gap = sum(abs(a - b) for a, b in zip(found, expected, strict=True)) / len(expected)
        if not gap <= _CANARY_TOLERANCE[self.dtype]:
            raise RuntimeError(
                f"after the copy its log-probabilities differ from the policy's by {gap:.3g} nats"
            )

    @contextlib.contextmanager
    def _surroundings(self) -> Iterator[None]:
        """vLLM's environment, logging and threads, for the time it works."""
        with (
            environment(self._environment) as changed,
            quiet_logging(self._log),
            preserved_threads(),
        ):
            yield
        self._environment.update(changed)

    @contextlib.contextmanager
    def _vllm_at_work(self) -> Iterator[None]:
        with self._surroundings(), preserved_rng():
            yield

    @contextlib.contextmanager
    def _working(
        self, action: str, around: contextlib.AbstractContextManager[None] | None = None
    ) -> Iterator[None]:
        """Run one action, in vLLM's surroundings or others; an interrupted engine is unusable.

        After an exception inside vLLM the next generation can hang for ever, so there is no
        second try.
        """
        captured: list[str] = []
        try:
            with around or self._surroundings():
                if action != "start":
                    yield
                else:
                    with captured_stderr() as captured:
                        yield
                    release_memory_binding()
        except BaseException as error:
            self._broken = f"could not {action}"
            self._log.add("".join(captured))
            if not isinstance(error, Exception):
                raise
            errors = self._log.errors()
            detail = f"; vLLM logged: {errors[-1][:300]}" if errors else ""
            raise EngineError(
                f"vLLM could not {action}: {type(error).__name__}: {str(error)[:500]}{detail}"
            ) from error

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise EngineError(f"this engine failed before ({self._broken}); start a new one")
        if self._llm is None:
            raise EngineError("this engine is closed")
