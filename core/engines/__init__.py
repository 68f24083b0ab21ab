"""Text generation behind one protocol: vLLM where it is installed, transformers otherwise."""
