"""The registry: every run, metric, evaluation and response in one database."""
