"""Built-in word problems: made by rule, the same for the same seed, split so that nothing leaks."""

from core.data.synthetic.documents import pretraining_documents
from core.data.synthetic.splits import (
    BUILTIN_SEED,
    SPLIT_SIZES,
    Split,
    generate_split,
    leakage,
    make_problem,
    question_hash,
    reasoning_text,
)

__all__ = [
    "BUILTIN_SEED",
    "SPLIT_SIZES",
    "Split",
    "generate_split",
    "leakage",
    "make_problem",
    "pretraining_documents",
    "question_hash",
    "reasoning_text",
]
