"""What every post-training method shares: data, prompts, grading, engines, registry, statistics.

Nothing in this package prints, and nothing in it knows a trainer or the command line.
"""
