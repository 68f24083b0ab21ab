"""What loading a model brings into the process."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_loading_a_model_leaves_scipy_alone_for_whoever_needs_it() -> None:
    code = (
        "import sys; from core.models import BUILTIN_PATH;"
        "from core.pretrained import load_causal_lm; load_causal_lm(BUILTIN_PATH, 'float32');"
        "assert 'scipy' not in sys.modules; import scipy.optimize"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
