"""Forward and backward passes written out for Llama-like models: no padding, no graph."""
