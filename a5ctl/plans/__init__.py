"""Carries plans out: one cell here, or all of them through an executor."""
