"""The one engine of a run: started when first needed, given the live weights, shared by all."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from core.engines.base import InferenceEngine
from core.engines.select import build_engine
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
    """

    stage: Stage
    max_model_len: int
    live: bool
    apart: Apart = nullcontext
    _engine: InferenceEngine | None = field(default=None, init=False)
    _holds: int | None = field(default=None, init=False)

    def start(self) -> InferenceEngine:
        """The engine; starts it the first time.

        Raises:
            EngineError: the engine cannot start.
        """
        if self._engine is None:
            stage, config, prepared = self.stage, self.stage.config, self.stage.prepared
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
                gpu_memory_utilization=config.evaluation.gpu_memory_utilization,
            )
            self._engine = build() if _beside_trainer(prepared) else stage.world.engine(build)
        return self._engine

    def with_weights_of(self, policy: Policy) -> InferenceEngine:
        """The engine with the policy's weights; copies them only where they have changed.

        Raises:
            EngineError: the engine cannot start or take the weights.
        """
        engine, version = self.start(), policy.version
        # several processes gather the weights together, so none may find that it need not
        if self._holds != version or self.stage.world.size > 1:
            self.stage.observer.phase("copying the policy into the engine")
            self._holds = None
            engine.load_weights(policy.named_weights())
            self._holds = version
        return engine

    def close(self) -> None:
        """Return the engine's memory, if it was ever started."""
        if self._engine is not None:
            self._engine.close()


def _beside_trainer(prepared: Prepared) -> bool:
    """On the CPU transformers can share any process; vLLM cannot share one that has companions."""
    return prepared.engine.name == "hf" and prepared.device == "cpu"
