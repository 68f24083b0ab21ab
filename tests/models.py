"""Small random models with a byte-level tokenizer, made on the spot: no file is downloaded."""

from pathlib import Path

from core.models import prepare_imports

CORPUS = [
    "Question: Tom has 3 apples and buys 14 more. How many apples does Tom have now?",
    "User: solve the problem. Assistant: <think> 3 + 14 = 17 </think> <answer> 17 </answer>",
    "A train goes 60 miles in 2 hours; the price is 5 € and the café is closed.",
    "Lea sells 12 cakes for 7 dollars each and gives half of the money to her brother Max.",
]


def write_model(
    folder: Path, *, seed: int = 0, tied: bool = True, end_ids: tuple[int, ...] = (0,)
) -> Path:
    """Write a two-layer Qwen2 with large random weights, so that greedy texts vary."""
    prepare_imports()
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config
    from transformers import Qwen2ForCausalLM as Qwen2

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>"
    )
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        eos_token_id=0,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2(config).float()
    model.generation_config = GenerationConfig(eos_token_id=list(end_ids), pad_token_id=0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
