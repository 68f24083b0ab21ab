"""Ray shows a token to clusters that it joins only where it is told to."""

from pathlib import Path

import pytest

from a5ctl.cluster.ray_cluster import joining_authentication


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    return tmp_path


def test_the_token_of_the_account_is_shown(home: Path) -> None:
    assert joining_authentication({}, home) == {"RAY_AUTH_MODE": "token"}


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_so_is_one_that_a_variable_names(tmp_path: Path, name: str) -> None:
    assert joining_authentication({name: "x"}, tmp_path) == {"RAY_AUTH_MODE": "token"}


def test_what_a_person_chose_stays(home: Path) -> None:
    assert joining_authentication({"RAY_AUTH_MODE": "disabled"}, home) == {}


def test_without_a_token_nothing_is_shown(tmp_path: Path) -> None:
    assert joining_authentication({}, tmp_path) == {}
