"""A model folder as somebody brings it: what must be in it, and what must not."""

import errno
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

from core.errors import UserError
from core.given_files import check_regular, read_given
from core.hub import MODEL_FILES
from core.units import MIB

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_PICKLE_PATTERNS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_SHARD = re.compile(r"[^/\\\0]+\.safetensors")
# a model has at least so many rows of its hidden size, as it has of all that is called num_...
_SIZES = ("vocab_size", "intermediate_size", "head_dim")
_LARGEST_CONFIG = 4 * MIB
_LARGEST_JSON = 256 * MIB


def check_folder(folder: Path, spec: str) -> None:
    """Refuse a folder that cannot be loaded, or must not be, before anything of it is.

    Args:
        folder: Holds the model.
        spec: What people call it.

    Raises:
        UserError: a file is missing, damaged, no file at all, or a pickle; the weights are not
            those that config.json describes.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"model {spec!r} has no config.json in {folder}; give a model folder")
    _check_regular(folder, spec)
    _check_json(folder, spec)
    _check_index(folder, spec)
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


def _check_regular(folder: Path, spec: str) -> None:
    """Readers of a pipe or a device would wait for ever, or read without end."""
    for file in model_files(folder):
        try:
            check_regular(file)
            if file.suffix != ".safetensors" and file.stat().st_size > _LARGEST_JSON:
                raise OSError(errno.EFBIG, f"it has more than {_LARGEST_JSON:,} bytes")
        except OSError as error:
            raise UserError(
                f"model {spec!r} has a {file.name} that cannot be read ({error.strerror}); "
                "get that file again, or take it out"
            ) from error


def _check_json(folder: Path, spec: str) -> None:
    for name in ("config.json", "generation_config.json"):
        file = folder / name
        try:
            broken = file.is_file() and not isinstance(
                json.loads(read_given(file, _LARGEST_CONFIG)), dict
            )
        except (OSError, ValueError, RecursionError):
            broken = True
        if broken:
            raise UserError(
                f"model {spec!r} has a {name} that is not a readable JSON object; "
                "get that file again"
            )


def _check_index(folder: Path, spec: str) -> None:
    """The list of weight files must not lead out of the folder, or to anything but safetensors."""
    file = folder / "model.safetensors.index.json"
    if not file.is_file():
        return
    try:
        names = set(json.loads(file.read_bytes())["weight_map"].values())
        odd = [name for name in names if not _SHARD.fullmatch(name)]
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"model {spec!r} has a {file.name} without a readable weight_map; get that file again"
        ) from error
    if odd:
        raise UserError(
            f"model {spec!r} has a {file.name} that names {min(odd)[:60]!r}; weights are "
            ".safetensors files in the folder itself, get that file again"
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
    counts = (name for name in config if name in _SIZES or name.startswith("num_"))
    for name in counts:
        count = config[name]
        if isinstance(width, int) and isinstance(count, int) and count * width > held:
            raise UserError(
                f"model {spec!r} has {name} {count:,} and hidden_size {width:,} in config.json, "
                f"and its weights hold {held:,} numbers; config and weights belong to different "
                "models, get both again"
            )


def model_files(path: Path) -> Iterator[Path]:
    """Weight, config and tokenizer files of a folder, by name."""
    found = {file for pattern in MODEL_FILES for file in path.glob(pattern)}
    yield from sorted(found, key=lambda file: file.name)
