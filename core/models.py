"""Finding a model, loading its configuration and tokenizer: shared by trainers and engines."""

import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError, typed_line
from core.hub import cached_model
from core.model_folder import check_folder, model_files
from core.quiet_transformers import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BUILTIN_MODEL = "builtin"
BUILTIN_PATH = Path(__file__).parent / "assets" / "base"
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
        check_folder(BUILTIN_PATH, spec)
        return ModelSource(BUILTIN_PATH, BUILTIN_MODEL)
    folder = Path(spec).expanduser()
    if folder.is_dir():
        check_folder(folder, spec)
        return ModelSource(folder.resolve(), spec)
    if folder.exists():
        raise UserError(f"model {spec!r} is a file; give the folder that holds it")
    if not _HUB_ID.fullmatch(spec):
        raise UserError(
            f"model {spec!r} is neither '{BUILTIN_MODEL}', nor an existing folder, nor a hub id "
            "such as Qwen/Qwen2.5-Math-1.5B; check the path"
        )
    path = cached_model(spec)
    check_folder(path, spec)
    return ModelSource(path, spec)


def is_hub_id(spec: str) -> bool:
    """No folder or file of that name is here, and it reads like the id of a model on the hub."""
    here = spec == BUILTIN_MODEL or Path(spec).expanduser().exists()
    return not here and is_hub_name(spec)


def is_hub_name(spec: str) -> bool:
    """It reads like an id of the hub: owner, slash, name."""
    return _HUB_ID.fullmatch(spec) is not None


def load_config(folder: Path) -> Any:
    """The configuration of a checked model folder, as transformers has it; its code is not run.

    Raises:
        UserError: the architecture is unknown, or a value is impossible.
    """
    prepare_imports()
    from transformers import AutoConfig

    try:
        with quiet_transformers():
            return AutoConfig.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # its checks raise many unrelated types
        raise UserError(
            f"model {folder} has a config.json that transformers cannot use "
            f"({typed_line(error).rstrip('.')}); get that file again"
        ) from error


def load_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a model folder; only fast tokenizers, which know character offsets.

    Raises:
        UserError: the files cannot be read, or the tokenizer is a slow one.
    """
    prepare_imports()
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            # without the last, a folder with code of its own has a person asked whether to run it
            tokenizer = AutoTokenizer.from_pretrained(
                str(path), local_files_only=True, trust_remote_code=False
            )
            tokenizer("1 + 1", add_special_tokens=False)  # some settings are looked at only now
    except Exception as error:
        load_config(path)  # which it reads too, and may have failed at
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
        if not all(token is None or type(token) is int for token in more):
            raise UserError(
                f"{file} has an eos_token_id that is neither a token's number nor a list of them; "
                "get that file again"
            )
        ids += [token for token in more if token is not None]
    return tuple(dict.fromkeys(ids))


def model_hash(path: Path) -> str:
    """SHA-256 (64 hex digits) over names and contents of weight, config and tokenizer files."""
    digest = hashlib.sha256()
    for file in model_files(path):
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
