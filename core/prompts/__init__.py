"""Prompt templates: three of our own, and any other by path."""
