"""Trains a byte-level BPE tokenizer like Qwen2's: single digits, any UTF-8 text round-trips."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from core.models import prepare_imports

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EOS_TOKEN = "<|endoftext|>"
PAD_TOKEN = "<|pad|>"
_SMALLEST = 256 + 2

# Qwen2's published pre-tokenizer pattern: contractions, words, single digits, punctuation, spaces.
_QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, out_dir: Path
) -> "PreTrainedTokenizerFast":
    """Train a tokenizer and save it so that `AutoTokenizer.from_pretrained(out_dir)` loads it.

    Args:
        texts: Training text; the vocabulary may end up smaller than asked when it is short.
        vocab_size: Number of tokens, special tokens included; at least 258.
        out_dir: Folder for `tokenizer.json` and `tokenizer_config.json`; made if absent.

    Raises:
        UserError: `vocab_size` cannot hold all bytes and the special tokens.
    """
    if vocab_size < _SMALLEST:
        raise UserError(
            f"vocabulary size {vocab_size} is too small; it needs at least {_SMALLEST} "
            "(256 bytes and 2 special tokens)"
        )
    prepare_imports()
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS_TOKEN, PAD_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS_TOKEN,
        pad_token=PAD_TOKEN,
        clean_up_tokenization_spaces=False,
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(str(out_dir))
    return fast
