"""The kernel for CUDA: interpreted on CPU it is the plain update bit for bit, and it compiles."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from trainers.bfloat16_adamw import Coefficients, State, update_in_pieces

triton = pytest.importorskip("triton", reason="triton is not installed")

pytestmark = [
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION:UserWarning"),
]
MADE = Coefficients(rate=1e-5, kept=0.999, beta1=0.9, beta2=0.95, root=0.8, epsilon=1e-8)
KEYS = (123_456_789, -987_654_321)
# more than a block, and no multiple of one
COUNT = 2500


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The kernel's module, its kernel run by Python on CPU tensors."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    import trainers.bfloat16_kernel as kernel

    yield importlib.reload(kernel)
    monkeypatch.undo()
    importlib.reload(kernel)


def state(keys: tuple[int, int] | None) -> State:
    generator = torch.Generator().manual_seed(0)
    weight, gradient, first, second = (
        (torch.randn(COUNT, generator=generator) * size).bfloat16()
        for size in (0.02, 1e-3, 1e-3, 1e-3)
    )
    gradient[:2] = torch.tensor([float("inf"), float("nan")])
    return State(weight, gradient, first, second.square_(), torch.tensor(0.7), 5, keys)


@pytest.mark.parametrize("keys", [KEYS, None], ids=["at random", "to the nearest"])
def test_it_computes_what_plain_operations_do(
    interpreted: ModuleType, keys: tuple[int, int] | None
) -> None:
    plain, by_kernel = state(keys), state(keys)
    update_in_pieces(plain, MADE)
    interpreted.update_by_kernel(by_kernel, MADE)
    for name in ("weight", "first", "second"):
        wanted, found = getattr(plain, name), getattr(by_kernel, name)
        assert not torch.equal(wanted, getattr(state(keys), name))
        assert torch.equal(found.isnan(), wanted.isnan())
        wanted, found = wanted.nan_to_num(0.0), found.nan_to_num(0.0)
        # a sum in another order may fall on the other side of a tie
        assert int((found != wanted).sum()) <= 2
        torch.testing.assert_close(found, wanted, rtol=2**-7, atol=0)


def test_nothing_to_update_is_no_launch(interpreted: ModuleType) -> None:
    whole = state(KEYS)
    parts = (t[:0] for t in (whole.weight, whole.gradient, whole.first, whole.second))
    interpreted.update_by_kernel(State(*parts, whole.scale, 0, KEYS), MADE)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90], ids=["A100", "H100"])
def test_it_compiles_for_gpus(
    capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down to what runs there; no GPU is needed for that."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from trainers.bfloat16_kernel import _adamw

    pointers = dict.fromkeys(("weight", "gradient", "first", "second"), "*bf16")
    numbers = dict.fromkeys(("count", "start", "first_key", "second_key"), "i32")
    rates = ("rate", "kept", "beta1", "rest1", "beta2", "rest2", "root", "epsilon")
    constants = {"STOCHASTIC": True, "BLOCK": 1024}
    signature = {
        **pointers,
        "scale": "*fp32",
        **numbers,
        **dict.fromkeys(rates, "fp32"),
        **dict.fromkeys(constants, "constexpr"),
    }
    source = ASTSource(fn=_adamw, signature=signature, constexprs=constants)
    try:
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"this triton cannot compile for CUDA: {error}")
    assert made.asm["cubin"]
