"""The one engine of a run: started when first needed, given the live weights, shared by all."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from core.engines.base import InferenceEngine
from core.engines.footprint import DTYPE_BYTES
from core.engines.gpu_options import ON_CPU, GpuOptions
from core.engines.placement import NO_TRAINING, TrainingNeed
from core.engines.select import build_engine
from trainers.engine_seat import seat
from trainers.observer import Severity
from trainers.policy import Policy
from trainers.prepare import Prepared
from trainers.stage import Stage

Apart = Callable[[], AbstractContextManager[None]]


@dataclass(slots=True)
class LiveEngine:
    """Evaluations and rollouts use the same engine.

    Attributes:
        stage: The run: its config, and whom it reports to.
        max_model_len: Tokens of prompt and response together, at most.
        live: Weights come from a policy, so the engine starts without any.
        apart: Surrounds the sampling of rollouts, whose memory is not training's.
        training: What training is going to take of the GPU.
    """

    stage: Stage
    max_model_len: int
    live: bool
    apart: Apart = nullcontext
    training: TrainingNeed = NO_TRAINING
    _engine: InferenceEngine | None = field(default=None, init=False)
    _holds: int | None = field(default=None, init=False)
    _sleeps: bool = field(default=False, init=False)
    _told: str | None = field(default=None, init=False)

    def start(self) -> InferenceEngine:
        """The engine; starts it the first time.

        Raises:
            EngineError: the engine cannot start.
        """
        if self._engine is None:
            stage, config, prepared = self.stage, self.stage.config, self.stage.prepared
            gpu = self._seat()
            stage.observer.phase(f"starting the engine {prepared.engine.name}")
            build = partial(
                build_engine,
                prepared.engine,
                prepared.model_dir,
                dtype=config.evaluation.dtype,
                device=prepared.device,
                seed=config.sampling_seed,
                max_model_len=self.max_model_len,
                dummy_weights=self.live,
                gpu=gpu,
            )
            self._engine = build() if _beside_trainer(prepared) else stage.world.engine(build)
        return self._engine

    def with_weights_of(self, policy: Policy, step: int) -> InferenceEngine:
        """The engine with the policy's weights; copies them only where they have changed.

        Args:
            policy: What they are taken from.
            step: What the copy is recorded with.

        Raises:
            EngineError: the engine cannot start or take the weights.
        """
        engine, version = self.start(), policy.version
        # several processes gather the weights together, so none may find that it need not
        if self._holds != version or self.stage.world.size > 1:
            self.stage.observer.phase("copying the policy into the engine")
            self._holds = None
            started = time.perf_counter()
            engine.load_weights(policy.named_weights())
            self._holds = version
            if self.stage.prepared.device != "cpu":
                self._record_copy(engine, policy, time.perf_counter() - started, step)
        return engine

    def rest(self) -> None:
        """Leave the GPU to training, where the engine was told to."""
        if self._engine is not None and self._sleeps:
            self._holds = None
            self._engine.sleep()

    def close(self) -> None:
        """Return the engine's memory, if it was ever started."""
        if self._engine is not None:
            self._engine.close()

    def _seat(self) -> GpuOptions:
        """Settle where the engine works and with how much memory, and tell of it."""
        if self.stage.prepared.device == "cpu":
            return ON_CPU
        found = seat(self.stage, self.max_model_len, self.training)
        self.stage.event(Severity.INFO, "engine_placement", found.reason)
        self._sleeps = found.options.sleeps
        return found.options

    def _record_copy(
        self, engine: InferenceEngine, policy: Policy, seconds: float, step: int
    ) -> None:
        numbers = sum(parameter.numel() for parameter in policy.model.parameters())
        size = numbers * DTYPE_BYTES[engine.dtype]
        rate = size / seconds / 1e9
        metrics = {"copy_seconds": seconds, "copy_gb_per_second": rate}
        self.stage.recorder.metrics(step, metrics)
        if engine.weight_path != self._told:
            self._told = engine.weight_path
            text = (
                f"weights are copied {engine.weight_path}: {size / 1e9:.2f} GB in {seconds:.2f} s, "
                f"{rate:.1f} GB/s"
            )
            self.stage.event(Severity.INFO, "weight_copy", text, step)


def _beside_trainer(prepared: Prepared) -> bool:
    """On the CPU transformers can share any process; vLLM cannot share one that has companions."""
    return prepared.engine.name == "hf" and prepared.device == "cpu"
