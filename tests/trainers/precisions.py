"""A precision that only tests use: fine enough to tell a wrong formula from rounding."""

import torch

from trainers.precision import Precision

FLOAT64 = Precision("float64", torch.float64, torch.float64, torch.float64, torch.float64)
