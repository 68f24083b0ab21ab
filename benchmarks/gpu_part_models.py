"""Random-weight models of true shapes, and problems as long in tokens as those of GSM8K."""

import json
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu_parts import LARGE, SMALL, TINY, Given
from benchmarks.gpu_rows import report

EXAMPLES = 1_024
PROMPT = "Question: {question}\nAssistant: <think>"
_TESTS = 256


def make(given: Given) -> None:
    """Write the models and the data that later parts read."""
    import torch

    from core.data.load import load_data
    from trainers.random_model import make_model

    problems = load_data("builtin").split("train")
    texts = [f"{problem.question}\n{problem.reasoning}" for problem in problems]
    for shape in dict.fromkeys((TINY, given.shape(SMALL), given.shape(LARGE))):
        folder = model_folder(given, shape)
        shutil.rmtree(folder, ignore_errors=True)
        started = time.perf_counter()
        # what is stored in bfloat16 hides small updates from products in it: docs/precision.md
        kind = torch.float32 if shape == TINY else torch.bfloat16
        make_model(shape, folder, texts=texts, dtype=kind)
        size = (folder / "model.safetensors").stat().st_size
        stored = str(kind).removeprefix("torch.")
        note = f"{size / 1e9:.2f} GB of random {stored} weights, written from the CPU"
        report(f"{shape}: made in", time.perf_counter() - started, "s", note=note)
        if shape != TINY or given.dry:
            _write_data(given, folder, texts)


def model_folder(given: Given, shape: str) -> Path:
    """Where the model of a shape lies."""
    return given.work / "models" / shape


def data_folder(given: Given) -> Path:
    """Where the problems lie."""
    return given.work / "data"


def prompt_file(given: Given) -> Path:
    """A template that takes few tokens, so that lengths are those that were drawn."""
    return given.work / "short.prompt"


def _write_data(given: Given, model: Path, texts: Sequence[str]) -> None:
    from core.models import load_tokenizer

    tokenizer = load_tokenizer(model)
    words = [text for text in _single_tokens(tokenizer) if text.strip().isalpha()]
    draw, shrink = random.Random(0), 8 if given.dry else 1
    folder = data_folder(given)
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 64 if given.dry else EXAMPLES), ("test", _TESTS)):
        lines = [json.dumps(_problem(draw, words, shrink)) for _ in range(count)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    prompt_file(given).write_text(PROMPT, encoding="utf-8")


def _single_tokens(tokenizer: object) -> list[str]:
    """Words, each with a space before it, that the tokenizer holds as one token."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()  # type: ignore[attr-defined]
    return sorted(token.replace("Ġ", " ") for token in vocabulary if token.startswith("Ġ"))


def _problem(draw: random.Random, words: Sequence[str], shrink: int) -> dict[str, str]:
    """One problem in GSM8K's form; its lengths are those of `gpu_sft_work.draw_examples`."""
    prompt = draw.randint(60, 260) // shrink
    response = min(512, max(16, int(draw.lognormvariate(4.7, 0.45)))) // shrink
    template, tags = 20, 26  # tokens that come on top: of the template; of tags, truth and EOS
    question = "".join(draw.choices(words, k=max(1, prompt - template))).strip()
    steps = "".join(draw.choices(words, k=max(1, response - tags))).strip()
    return {"question": question, "answer": f"{steps}\n#### {draw.randint(2, 99)}"}
