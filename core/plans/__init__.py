"""Plans of experiments: which runs to make, and what they have to show (docs/plans.md)."""
