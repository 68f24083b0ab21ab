"""Random-weight models: true shapes, files that transformers reads, clear refusals."""

from pathlib import Path

import pytest

from core.errors import UserError
from core.models import prepare_imports
from trainers.random_model import SHAPES, find_shape, make_model, weight_shapes

TEXTS = ["Anna has 12 apples and eats 5 of them. 12 - 5 = 7"] * 20


def test_written_model_loads_in_transformers_with_every_weight(tmp_path: Path) -> None:
    prepare_imports()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = make_model("tiny", tmp_path / "model", texts=TEXTS, layers=2)
    model, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert model.config.num_hidden_layers == 2
    assert model.config.tie_word_embeddings
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    assert model.config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize(
    ("shape", "millions"), [("qwen2.5-0.5b", 494), ("qwen2.5-1.5b", 1544), ("tiny", 3)]
)
def test_shape_has_the_published_number_of_parameters(shape: str, millions: int) -> None:
    count = 0
    for size in weight_shapes(SHAPES[shape]).values():
        product = 1
        for edge in size:
            product *= edge
        count += product
    assert round(count / 1e6) == millions


def test_same_seed_writes_the_same_weights(tmp_path: Path) -> None:
    files = [
        make_model("tiny", tmp_path / name, texts=TEXTS, layers=1, seed=seed) / "model.safetensors"
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, second, third = (file.read_bytes() for file in files)
    assert first == second
    assert first != third


def test_unknown_shape_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(UserError, match=r"'huge'.*tiny, qwen2\.5-0\.5b, qwen2\.5-1\.5b"):
        find_shape("huge")


def test_no_layers_are_refused() -> None:
    with pytest.raises(UserError, match="layers 0"):
        find_shape("tiny", 0)


def test_folder_with_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        make_model("tiny", tmp_path, texts=TEXTS)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_one_weight_at_a_time_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import weakref

    from trainers import random_model

    draw, earlier, most = random_model._drawn, list[weakref.ref](), 0

    def watched(*arguments):
        nonlocal most
        most = max(most, sum(tensor() is not None for tensor in earlier))
        tensor = draw(*arguments)
        earlier.append(weakref.ref(tensor))
        return tensor

    monkeypatch.setattr(random_model, "_drawn", watched)
    make_model("tiny", tmp_path / "model", texts=TEXTS, layers=2)
    assert len(earlier) == len(weight_shapes(find_shape("tiny", 2)))
    assert most <= 1
