"""Which attention kernel a model gets on this machine, and why: looked up, then tried out."""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch

from core.config.schema import Attention
from core.errors import UserError, first_line
from trainers.packed.kernels import ATTENTION, Kernel, block_attention

_LARGEST_HEAD = 256
_HALVES = (torch.bfloat16, torch.float16)
# two bfloat16 kernels that sum in another order differ by well under this share of the largest
# value; reading across an example's border changes values by about their own size
_TOLERANCE = 0.03


@dataclass(frozen=True, slots=True)
class AttentionNeed:
    """What the model asks of an attention kernel.

    Attributes:
        device: Where it runs.
        dtype: Of queries, keys and values, autocast considered.
        heads: Query heads.
        key_heads: Key and value heads; they divide the query heads.
        head_size: Numbers per head.
        scale: Factor of the scores.
    """

    device: torch.device
    dtype: torch.dtype
    heads: int
    key_heads: int
    head_size: int
    scale: float


@dataclass(frozen=True, slots=True)
class Installed:
    """What could compute attention here.

    Attributes:
        flash_attn: Version of the flash-attn package, None where it is absent.
        torch_varlen: torch's version if it has `torch.nn.attention.varlen`, else None.
        capability: Compute capability of the GPU, None without one.
    """

    flash_attn: str | None
    torch_varlen: str | None
    capability: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """The kernel, and one sentence that says why it and not a better one."""

    kernel: Kernel
    reason: str


# an error message, or None where the kernel computes what it should
Trial = Callable[[Kernel, AttentionNeed], str | None]


def find_installed(device: torch.device) -> Installed:
    """Look the packages and the GPU up, without importing what may be broken."""
    has_varlen = importlib.util.find_spec("torch.nn.attention.varlen") is not None
    on_cuda = device.type == "cuda"
    return Installed(
        flash_attn=_version("flash-attn"),
        torch_varlen=torch.__version__ if has_varlen else None,
        capability=torch.cuda.get_device_capability(device) if on_cuda else None,
    )


def choose_kernel(
    need: AttentionNeed,
    installed: Installed,
    trial: Trial,
    wanted: Attention = Attention.AUTO,
) -> KernelChoice:
    """The first of flash-attn, torch's kernel and separate calls that can do it and does.

    Args:
        need: What the model asks for.
        installed: What there is.
        trial: Runs a kernel on this device; packages can be installed and still not work.
        wanted: One of them alone, or whichever works.

    Raises:
        UserError: the one that is wanted does not work here.
    """
    if wanted is Attention.SDPA:
        return KernelChoice(
            Kernel.BLOCKS, "one attention call per example, as train.attention says"
        )
    unfit = _unfit(need, installed)
    if unfit is not None:
        refuse_variable_length(wanted, unfit)
        return KernelChoice(Kernel.BLOCKS, f"one attention call per example: {unfit}")
    passed_over: list[str] = []
    for kernel, version in _candidates(need, installed):
        if wanted is not Attention.AUTO and kernel not in _MEANT[wanted]:
            continue
        problem = "is not installed" if version is None else trial(kernel, need)
        name = _NAMES[kernel] if version is None else f"{_NAMES[kernel]} {version}"
        if problem is None:
            return KernelChoice(kernel, "; ".join([f"{name} works on this GPU", *passed_over]))
        passed_over.append(f"{name} {problem}")
    refuse_variable_length(wanted, "; ".join(passed_over))
    return KernelChoice(Kernel.BLOCKS, "; ".join(["one attention call per example", *passed_over]))


def refuse_variable_length(wanted: Attention, reason: str) -> None:
    """Nothing, unless a variable-length kernel was asked for by name.

    Raises:
        UserError: it was; says why it cannot be had.
    """
    if wanted in _MEANT:
        raise UserError(
            f"train.attention {wanted} does not work here: {reason}; use --attention auto"
        )


def try_kernel(kernel: Kernel, need: AttentionNeed) -> str | None:
    """Compare a kernel's output and gradients with separate calls, on three short examples.

    Returns:
        None when they agree; otherwise what went wrong, as the end of a sentence.
    """
    try:
        measured, expected = _outputs(kernel, need), _outputs(Kernel.BLOCKS, need)
    except (ImportError, RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        return f"fails here ({first_line(error)})"
    for found, wanted in zip(measured, expected, strict=True):
        error_share = ((found - wanted).abs().max() / wanted.abs().max()).item()
        if not error_share <= _TOLERANCE:
            return f"computes something else here (off by {error_share:.1%} of the largest value)"
    return None


_MEANT = {
    Attention.FLASH: (Kernel.FLASH_ATTN,),
    Attention.VARLEN: (Kernel.VARLEN, Kernel.VARLEN_REPEATED),
}
_NAMES = {
    Kernel.FLASH_ATTN: "flash-attn",
    Kernel.VARLEN: "torch varlen attention",
    Kernel.VARLEN_REPEATED: "torch varlen attention with repeated key heads",
}


def _candidates(need: AttentionNeed, installed: Installed) -> list[tuple[Kernel, str | None]]:
    found = [
        (Kernel.FLASH_ATTN, installed.flash_attn),
        (Kernel.VARLEN, installed.torch_varlen),
    ]
    if need.heads != need.key_heads and installed.torch_varlen is not None:
        found.append((Kernel.VARLEN_REPEATED, installed.torch_varlen))
    return found


def _unfit(need: AttentionNeed, installed: Installed) -> str | None:
    if need.device.type != "cuda":
        return f"variable-length kernels need CUDA, and this is {need.device.type}"
    if installed.capability is not None and installed.capability < (8, 0):
        major, minor = installed.capability
        return f"variable-length kernels need compute capability 8.0, and this is {major}.{minor}"
    if need.dtype not in _HALVES:
        dtype = str(need.dtype).removeprefix("torch.")
        return f"variable-length kernels compute in half precision, and this model in {dtype}"
    if need.head_size > _LARGEST_HEAD or need.head_size % 8:
        return (
            f"variable-length kernels take head sizes up to {_LARGEST_HEAD} divisible by 8, "
            f"and this model has {need.head_size}"
        )
    return None


def _outputs(kernel: Kernel, need: AttentionNeed) -> list[torch.Tensor]:
    """Output and the three gradients in float32, of fixed inputs."""
    lengths = (5, 1, 12)
    generator = torch.Generator().manual_seed(0)
    heads = (need.heads, need.key_heads, need.key_heads, need.heads)
    drawn = [
        torch.randn(sum(lengths), count, need.head_size, generator=generator).to(
            need.device, need.dtype
        )
        for count in heads
    ]
    query, key, value, upstream = drawn
    inputs = tuple(tensor.requires_grad_() for tensor in (query, key, value))
    bounds = torch.tensor([0, 5, 6, 18], dtype=torch.int32)
    ends = bounds if kernel is Kernel.BLOCKS else bounds.to(need.device)
    attend = block_attention if kernel is Kernel.BLOCKS else ATTENTION[kernel]
    output = attend(query, key, value, ends, max(lengths), need.scale)
    gradients = torch.autograd.grad(output, inputs, upstream)
    return [tensor.detach().float() for tensor in (output, *gradients)]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
