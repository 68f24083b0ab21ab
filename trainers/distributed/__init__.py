"""Training by several processes on one machine; nothing outside this folder knows of ranks."""
