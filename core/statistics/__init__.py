"""Intervals, tests and summaries: the only place where figures get their uncertainty.

A paired test on one seed speaks of two checkpoints on these problems, not of two settings; what
several seeds say about two settings is in `seeds`. numpy and SciPy are imported only where they
are used, so that listings stay fast.
"""

from core.statistics.intervals import (
    difference_interval,
    mean_and_standard_error,
    wilson_interval,
)
from core.statistics.lengths import LengthSummary, length_summary
from core.statistics.multiplicity import holm
from core.statistics.paired import (
    PairedComparison,
    PairedMethod,
    bootstrap_interval,
    compare_paired,
    compare_paired_shares,
    mcnemar_exact,
    minimum_detectable_difference,
)
from core.statistics.samples import (
    ClusteredRate,
    clustered_rate,
    majority_vote,
    pass_at_k,
)
from core.statistics.seeds import MIN_SEEDS, SeedComparison, compare_across_seeds
from core.statistics.student import mean_interval, t_quantile

__all__ = [
    "MIN_SEEDS",
    "ClusteredRate",
    "LengthSummary",
    "PairedComparison",
    "PairedMethod",
    "SeedComparison",
    "bootstrap_interval",
    "clustered_rate",
    "compare_across_seeds",
    "compare_paired",
    "compare_paired_shares",
    "difference_interval",
    "holm",
    "length_summary",
    "majority_vote",
    "mcnemar_exact",
    "mean_and_standard_error",
    "mean_interval",
    "minimum_detectable_difference",
    "pass_at_k",
    "t_quantile",
    "wilson_interval",
]
