"""What a compiled layer keeps of a token, and the estimate: python benchmarks/memory_compiled.py

AOTAutograd decides what the backward pass computes again, by the same rules for every backend and
device. So a layer of a small model, compiled on the CPU, tells what is kept on a GPU. It takes
about a minute.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.autograd.graph import saved_tensors_hooks  # noqa: E402

from benchmarks.memory_steps import Work, draw, model_config  # noqa: E402
from core.models import prepare_imports  # noqa: E402
from trainers.memory_cuda import Sizes, Step, kept_per_token  # noqa: E402
from trainers.packed import attention  # noqa: E402
from trainers.packed.compiled import compile_layers, layers_of  # noqa: E402
from trainers.packed.kernels import Kernel  # noqa: E402
from trainers.packed.row import pack_row  # noqa: E402
from trainers.precision import BFLOAT16, MIXED, Precision  # noqa: E402
from trainers.random_model import ModelShape  # noqa: E402

_TOKENS = 192
_SHAPE = ModelShape(num_hidden_layers=1)


def kept(precision: Precision, backend: str = "inductor") -> float:
    """Bytes per token that a compiled layer saves for its backward pass, weights left out."""
    prepare_imports()
    from transformers import Qwen2ForCausalLM

    config = model_config(_SHAPE)
    model = Qwen2ForCausalLM(config).to(precision.weights).train()
    attention.register()
    model.set_attn_implementation(Kernel.BLOCKS.value)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    matrices = {tuple(parameter.shape) for parameter in model.parameters()}
    matrices |= {shape[::-1] for shape in matrices}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # copies of weights by autocast have the shapes of weights
        if storage.data_ptr() not in weights and tuple(tensor.shape) not in matrices:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    row = pack_row(draw(Work(_SHAPE, precision, _TOKENS, example=97)))
    given = attention.call_arguments(row, Kernel.BLOCKS)
    states = torch.randn(1, _TOKENS, config.hidden_size, dtype=precision.weights)
    states.requires_grad_()
    places = model.model.rotary_emb(states, given["position_ids"])
    compile_layers(model, backend)
    inputs = {key: value for key, value in given.items() if key not in ("input_ids", "use_cache")}
    with (
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision.autocast),
        saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        layers_of(model)[0](states, position_embeddings=places, **inputs)
    return sum(sizes.values()) / _TOKENS


def main() -> None:
    """Print both figures for both kinds of precision."""
    sizes = Sizes.of(model_config(_SHAPE))
    for precision in (MIXED, BFLOAT16):
        step = Step(sizes, _TOKENS, 1, precision, compiled=True)
        # cosines and sines, which all layers share, and no sum per head as the kernel on CUDA has
        other = 2 * sizes.queries // sizes.heads * precision.weight_bytes - 4 * sizes.heads
        print(f"{precision.name}: kept {kept(precision):,.0f} bytes a token, ", end="")
        print(f"estimated {kept_per_token(step) + other:,.0f}")


if __name__ == "__main__":
    main()
