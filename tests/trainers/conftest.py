"""A small policy, written once."""

from pathlib import Path

import pytest

from tests.models import write_model
from trainers.policy import Policy, load_policy


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("policy") / "model")


@pytest.fixture
def policy(small_model: Path) -> Policy:
    return load_policy(small_model, device="cpu", precision="float32")
