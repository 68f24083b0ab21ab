"""Settings of torch's allocator that vLLM's sleep mode does not go with."""

import os

import pytest

from core.engines.segments import (
    expands,
    plain_environment,
    plain_segments,
    without_expanding,
)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ("", False),
        ("max_split_size_mb:512", False),
        ("expandable_segments:True", True),
        ("max_split_size_mb:512, expandable_segments:true", True),
        ("expandable_segments:False", False),
    ],
)
def test_it_is_read_wherever_it_stands(settings: str, found: bool) -> None:
    assert expands(settings) is found


def test_other_settings_stay() -> None:
    settings = "max_split_size_mb:512, expandable_segments:True,garbage_collection_threshold:0.8"
    plain = without_expanding(settings)
    assert plain.split(",")[:2] == ["max_split_size_mb:512", "garbage_collection_threshold:0.8"]
    assert not expands(plain)


def test_the_environment_is_plain_inside_and_as_before_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    with plain_segments(wanted=False):
        assert expands(os.environ["PYTORCH_CUDA_ALLOC_CONF"])
    with plain_segments():
        assert not expands(os.environ["PYTORCH_CUDA_ALLOC_CONF"])
    assert os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"


def test_another_process_gets_variables_only_where_they_expand() -> None:
    given = {"PYTORCH_ALLOC_CONF": "expandable_segments:True", "PYTORCH_CUDA_ALLOC_CONF": "a:b"}
    assert plain_environment(given) == {"PYTORCH_ALLOC_CONF": "expandable_segments:False"}
