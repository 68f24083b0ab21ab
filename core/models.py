"""Finding a model, checking its files, loading its tokenizer: shared by trainers and engines."""

import hashlib
import importlib.util
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError, typed_line
from core.hub import MODEL_FILES, cached_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BUILTIN_MODEL = "builtin"
BUILTIN_PATH = Path(__file__).parent / "assets" / "base"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_PICKLE_PATTERNS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CUDA_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model on disk.

    Attributes:
        path: Folder with config.json, safetensors weights and a tokenizer.
        name: What people call it: `builtin`, the folder as given, or the hub id.
    """

    path: Path
    name: str


def resolve_model(spec: str) -> ModelSource:
    """Turn `builtin`, a local folder, or a hub id into a checked folder.

    A hub id is downloaded (weights as safetensors, configuration, tokenizer) unless cached.

    Raises:
        UserError: nothing of that name, a file is missing, or the weights are pickles.
    """
    if spec == BUILTIN_MODEL:
        _check_folder(BUILTIN_PATH, spec)
        return ModelSource(BUILTIN_PATH, BUILTIN_MODEL)
    folder = Path(spec).expanduser()
    if folder.is_dir():
        _check_folder(folder, spec)
        return ModelSource(folder.resolve(), spec)
    if folder.exists():
        raise UserError(f"model {spec!r} is a file; give the folder that holds it")
    if not _HUB_ID.fullmatch(spec):
        raise UserError(
            f"model {spec!r} is neither '{BUILTIN_MODEL}', nor an existing folder, nor a hub id "
            "such as Qwen/Qwen2.5-Math-1.5B; check the path"
        )
    path = cached_model(spec)
    _check_folder(path, spec)
    return ModelSource(path, spec)


def is_hub_id(spec: str) -> bool:
    """No folder or file of that name is here, and it reads like the id of a model on the hub."""
    here = spec == BUILTIN_MODEL or Path(spec).expanduser().exists()
    return not here and is_hub_name(spec)


def is_hub_name(spec: str) -> bool:
    """It reads like an id of the hub: owner, slash, name."""
    return _HUB_ID.fullmatch(spec) is not None


def load_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a model folder; only fast tokenizers, which know character offsets.

    Raises:
        UserError: the files cannot be read, or the tokenizer is a slow one.
    """
    prepare_imports()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
    except Exception as error:
        raise UserError(
            f"the tokenizer in {path} cannot be loaded ({typed_line(error)}); "
            "a tokenizer.json made by a current transformers is needed"
        ) from error
    if not tokenizer.is_fast:
        raise UserError(
            f"the tokenizer in {path} is a slow one; save it again with a tokenizer.json"
        )
    return tokenizer


def encode_prompt(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text, without special tokens: trainers and engines must see the same ids."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_prompts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The same ids as `encode_prompt` gives for every text, in one call and on every core."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    return [list(ids) for ids in encoded["input_ids"]]


def end_token_ids(path: Path, tokenizer: Any) -> tuple[int, ...]:
    """Ids that end a response: the tokenizer's EOS and those of generation_config.json.

    Both engines use this one rule, so that they stop at the same place.
    """
    ids = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    file = path / "generation_config.json"
    if file.is_file():
        declared = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
        more = declared if isinstance(declared, list) else [declared]
        ids += [int(token) for token in more if token is not None]
    return tuple(dict.fromkeys(ids))


def model_hash(path: Path) -> str:
    """SHA-256 (64 hex digits) over names and contents of weight, config and tokenizer files."""
    digest = hashlib.sha256()
    for file in _model_files(path):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def prepare_imports() -> None:
    """Keep CUDA builds of torch's companions from breaking transformers on a torch without CUDA.

    A CPU build of vLLM pulls in torchvision, torchaudio and torchcodec as CUDA wheels; importing
    them fails, and transformers imports them when it finds them. Marking them as absent is safe:
    nothing here works on images or sound. Call it before importing transformers or vllm.
    """
    if "transformers" in sys.modules or importlib.util.find_spec("torch") is None:
        return
    import torch

    if torch.version.cuda is None:
        for name in _CUDA_COMPANIONS:
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def _check_folder(folder: Path, spec: str) -> None:
    if not (folder / "config.json").is_file():
        raise UserError(f"model {spec!r} has no config.json in {folder}; give a model folder")
    _check_json(folder, spec)
    if not any(folder.glob("*.safetensors")):
        if any(any(folder.glob(pattern)) for pattern in _PICKLE_PATTERNS):
            raise UserError(
                f"model {spec!r} has its weights only as pickle files, which can run code when "
                "loaded; convert them with save_pretrained(..., safe_serialization=True)"
            )
        raise UserError(f"model {spec!r} has no .safetensors weights in {folder}; add them")
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise UserError(
            f"model {spec!r} has no tokenizer in {folder}; add one of {', '.join(_TOKENIZER_FILES)}"
        )
    _check_size(folder, spec, _numbers_held(folder, spec))


def _check_json(folder: Path, spec: str) -> None:
    for name in ("config.json", "generation_config.json"):
        file = folder / name
        try:
            broken = file.is_file() and not isinstance(json.loads(file.read_bytes()), dict)
        except (OSError, ValueError, RecursionError):
            broken = True
        if broken:
            raise UserError(
                f"model {spec!r} has a {name} that is not a readable JSON object; "
                "get that file again"
            )


def _numbers_held(folder: Path, spec: str) -> int:
    """How many numbers the weights hold, by their headers, which also say how long files must be.

    Raises:
        UserError: a file is cut or damaged.
    """
    from safetensors import SafetensorError, safe_open

    count = 0
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy") as weights:
                shapes = (weights.get_slice(name).get_shape() for name in weights.keys())  # noqa: SIM118
                count += sum(math.prod(shape) for shape in shapes)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"model {spec!r} has a damaged weight file {file.name} ({error}); get it again"
            ) from error
    return count


def _check_size(folder: Path, spec: str, held: int) -> None:
    """Building the model that config.json describes must not take more than its weights do."""
    config = json.loads((folder / "config.json").read_bytes())
    width = config.get("hidden_size")
    for name in ("vocab_size", "num_hidden_layers"):
        count = config.get(name)
        # an embedding has a row per token, and a layer at least the weights of one norm
        if isinstance(width, int) and isinstance(count, int) and count * width > held:
            raise UserError(
                f"model {spec!r} has {name} {count:,} and hidden_size {width:,} in config.json, "
                f"and its weights hold {held:,} numbers; config and weights belong to different "
                "models, get both again"
            )


def _model_files(path: Path) -> Iterator[Path]:
    found = {file for pattern in MODEL_FILES for file in path.glob(pattern)}
    yield from sorted(found, key=lambda file: file.name)
