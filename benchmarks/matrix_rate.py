"""How fast this machine multiplies matrices of the shapes that a model's training needs.

    python benchmarks/matrix_rate.py

For every weight matrix of the model and for its vocabulary projection: the product of the forward
pass and the two of the backward pass, each as often as a pass needs it. The rate is all their
floating-point operations over all their seconds; nothing else of a step is in it.
"""

import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.sft_workload import WORKLOADS  # noqa: E402
from trainers.random_model import SHAPES, ModelShape, weight_shapes  # noqa: E402

ROWS = 512
REPEATS = 3


def products(shape: ModelShape, rows: int, supervised: int) -> Counter[tuple[int, int, int]]:
    """(m, k, n) of a forward and backward pass -> how often: (m x k) by (k x n).

    Args:
        shape: Sizes of the model.
        rows: Tokens of the pass.
        supervised: Tokens that are projected onto the vocabulary.
    """
    counted: Counter[tuple[int, int, int]] = Counter()
    for name, size in weight_shapes(shape).items():
        if len(size) == 2:
            m = supervised if "embed_tokens" in name else rows
            n, k = size
            counted.update([(m, k, n), (m, n, k), (n, m, k)])
    return counted


def seconds(m: int, k: int, n: int, dtype: torch.dtype) -> float:
    """Median seconds of one product, with operands laid out as the training step has them."""
    left, right = torch.randn(m, k, dtype=dtype), torch.randn(n, k, dtype=dtype).t()
    left @ right
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        left @ right
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def rate(shape: ModelShape, dtype: torch.dtype, rows: int = ROWS) -> float:
    """Floating-point operations per second over a whole pass, a quarter of it supervised."""
    operations = total = 0.0
    for (m, k, n), count in products(shape, rows, max(1, rows // 4)).items():
        operations += count * 2.0 * m * k * n
        total += count * seconds(m, k, n, dtype)
    return operations / total


def rates(names: list[str]) -> dict[str, dict[str, float]]:
    """Model -> '<dtype> <threads>' -> billions of operations per second."""
    found: dict[str, dict[str, float]] = {}
    for name in names:
        shape = WORKLOADS[name].shape or SHAPES["tiny"]
        found[name] = {}
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for dtype in (torch.float32, torch.bfloat16):
                label = f"{str(dtype).removeprefix('torch.')} {threads}"
                found[name][label] = rate(shape, dtype) / 1e9
    return found


def main() -> None:
    """Print the rates as JSON."""
    print(json.dumps(rates(sys.argv[1:] or list(WORKLOADS))))


if __name__ == "__main__":
    main()
