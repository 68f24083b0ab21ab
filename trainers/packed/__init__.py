"""Several examples as one row without padding, for CUDA and for any transformers architecture."""
