"""Both engines over small random models."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.engines.base import InferenceEngine
from tests.models import CORPUS, write_model


def with_end_ids(source: Path, folder: Path, end_ids: tuple[int, ...]) -> Path:
    """A copy of a model folder whose responses also end at the given tokens."""
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "eos_token_id": list(end_ids)}))
    return folder


def weights_of(folder: Path) -> dict:
    """Named tensors as a policy would pass them."""
    from transformers import AutoModelForCausalLM

    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tied"))


@pytest.fixture(scope="session")
def other_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("other"), seed=1)


@pytest.fixture(scope="session")
def untied_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("untied"), seed=2, tied=False)


@pytest.fixture(scope="session")
def prompts() -> list[str]:
    """64 prompts of different lengths, some longer than a vLLM cache block (128 tokens)."""
    return [f"Question {i}: " + CORPUS[i % 4] * (1 + 2 * (i % 3)) for i in range(64)]


ENGINES = ["hf", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.slow])]


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return request.param


def start(name: str, folder: Path, **options: object) -> InferenceEngine:
    """Start an engine of either kind in float32 on the CPU."""
    from core.engines.select import build_engine, choose_engine

    settings = {"dtype": "float32", "device": "cpu", "max_model_len": 512, **options}
    return build_engine(choose_engine(name), folder, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared_engine(engine_name: str, model_dir: Path) -> Iterator[InferenceEngine]:
    engine = start(engine_name, model_dir)
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine: InferenceEngine, model_dir: Path) -> Iterator[InferenceEngine]:
    """One engine for a whole file; tests that load other weights get the first ones put back."""
    loaded = []
    original = shared_engine.load_weights

    def remember(weights: object) -> None:
        loaded.append(True)
        original(weights)  # type: ignore[arg-type]

    shared_engine.load_weights = remember  # type: ignore[method-assign]
    yield shared_engine
    del shared_engine.load_weights
    if loaded:
        shared_engine.load_weights(weights_of(model_dir).items())
