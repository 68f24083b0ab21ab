"""Prompt templates: four of our own, and any other by path."""
