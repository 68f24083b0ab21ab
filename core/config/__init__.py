"""Run configurations: what a run is, completely, as a tree of validated settings."""
