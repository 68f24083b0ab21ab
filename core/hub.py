"""Models on the model hub: from its cache, or as a plain folder that can be carried elsewhere.

Only weights as safetensors, configuration and tokenizer are taken: a pickle can run code.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import UserError, typed_line

WEIGHTS = "*.safetensors"
MODEL_FILES = (WEIGHTS, "*.json", "*.jinja", "tokenizer.model", "merges.txt")
SOURCE_NAME = "SOURCE"
_OWN_FILES = ".cache"
_ROOM = 1.02


def cached_model(spec: str, files: Sequence[str] = MODEL_FILES) -> Path:
    """The folder of a hub id in the hub's cache; downloaded unless it is there.

    Args:
        spec: Hub id.
        files: Which of its files.

    Raises:
        UserError: it is not there and cannot be had.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(spec, allow_patterns=list(files)))
    except Exception as error:  # the library raises many unrelated types for 'not reachable'
        raise UserError(_why_not(spec, error)) from error


def fetch_model(spec: str, folder: Path) -> str:
    """Download a model into a new folder; what was cut short goes on where it was.

    The folder appears under its name when everything is in it. A file `SOURCE` in it says which
    commit of the hub it is.

    Args:
        spec: Hub id.
        folder: Must not exist.

    Returns:
        The commit.

    Raises:
        UserError: it cannot be had, has no safetensors, or does not fit on the disk.
    """
    from huggingface_hub import HfApi, snapshot_download

    if offline():
        raise UserError(
            f"model {spec!r} cannot be fetched while HF_HUB_OFFLINE is set; unset it, and fetch "
            "where there is a network"
        )
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        info = HfApi().model_info(spec, files_metadata=True)
        _check_files(spec, info, folder)
        partial.mkdir(parents=True, exist_ok=True)
        snapshot_download(
            spec, revision=info.sha, allow_patterns=list(MODEL_FILES), local_dir=partial
        )
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; those of the network have no number
        raise UserError(_why_not(spec, error)) from error
    shutil.rmtree(partial / _OWN_FILES, ignore_errors=True)
    (partial / SOURCE_NAME).write_text(f"{spec} {info.sha}\n", encoding="utf-8")
    partial.rename(folder)
    return str(info.sha)


def offline() -> bool:
    """A person has said that there is no network (`HF_HUB_OFFLINE`)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _check_files(spec: str, info: Any, folder: Path) -> None:
    wanted = [
        file for file in info.siblings or () if any(map(Path(file.rfilename).match, MODEL_FILES))
    ]
    if not any(Path(file.rfilename).match(WEIGHTS) for file in wanted):
        raise UserError(
            f"model {spec!r} has no safetensors weights on the hub, and pickles can run code when "
            "loaded; choose a copy with safetensors"
        )
    size = sum(file.size or 0 for file in wanted)
    near = next(place for place in folder.absolute().parents if place.exists())
    free = shutil.disk_usage(near).free
    if size * _ROOM > free:
        raise UserError(
            f"model {spec!r} takes {size / 1e9:.1f} GB and {near} has {free / 1e9:.1f} GB free; "
            "choose another folder with --to"
        )


def _why_not(spec: str, error: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if offline():
        return (
            f"model {spec!r} is neither a folder nor in the cache {constants.HF_HUB_CACHE}, and "
            f"HF_HUB_OFFLINE says that there is no network; where there is one, a5ctl fetch {spec} "
            "--to DIR brings it into a folder for --model"
        )
    if isinstance(error, GatedRepoError):
        return (
            f"model {spec!r} is given only to accounts that accepted its terms; accept them on its "
            "page and log in with: hf auth login (or HF_TOKEN)"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"model {spec!r} is not a local folder, and the model hub knows no such name; check "
            "the name, and log in with hf auth login if it is a private one"
        )
    return (
        f"model {spec!r} is not a local folder and could not be fetched from the model hub "
        f"({typed_line(error)}); check the name and the connection, or give the folder of a local "
        "copy (a5ctl fetch makes one where there is a network)"
    )
