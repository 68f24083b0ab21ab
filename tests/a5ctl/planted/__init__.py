"""Runs and dumps with a planted cause; see README.md in this folder."""
