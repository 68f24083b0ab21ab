"""What an engine does to its process is undone, also after an error."""

import os
import random
import sys

import numpy as np
import pytest
import torch

from core.engines.isolation import (
    captured_stderr,
    environment,
    preserved_rng,
    preserved_threads,
)


def test_random_states_come_back_after_an_error():
    expected = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())

    def fail() -> None:
        with preserved_rng():
            random.seed(1)
            np.random.seed(1)
            torch.manual_seed(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert random.getstate() == expected[0]
    assert np.random.get_state()[1].tolist() == expected[1]
    assert torch.equal(torch.get_rng_state(), expected[2])


def test_environment_comes_back_and_what_changed_inside_is_known(monkeypatch):
    monkeypatch.setenv("A5CTL_KEPT", "before")
    monkeypatch.setenv("A5CTL_REMOVED", "before")
    with environment({"A5CTL_OURS": "1"}) as changed:
        os.environ["A5CTL_THEIRS"] = "2"
        os.environ["A5CTL_KEPT"] = "after"
        del os.environ["A5CTL_REMOVED"]
    assert changed == {"A5CTL_OURS": "1", "A5CTL_THEIRS": "2", "A5CTL_KEPT": "after"}
    assert os.environ["A5CTL_KEPT"] == os.environ["A5CTL_REMOVED"] == "before"
    assert "A5CTL_OURS" not in os.environ
    assert "A5CTL_THEIRS" not in os.environ


def test_thread_setter_that_was_replaced_works_again():
    setter, count = torch.set_num_threads, torch.get_num_threads()
    with preserved_threads():
        torch.set_num_threads(count + 1)
        torch.set_num_threads = lambda count: None
    assert torch.set_num_threads is setter
    assert torch.get_num_threads() == count


def test_native_output_is_captured_and_python_output_is_not(capfd):
    with captured_stderr() as captured:
        os.write(2, b"from C++\n")
        print("from Python", file=sys.stderr)
    assert captured == ["from C++\n"]
    assert "from C++" not in capfd.readouterr().err


def test_standard_error_works_after_an_error_inside(capfd):
    seen = []

    def fail() -> None:
        nonlocal seen
        with captured_stderr() as seen:
            os.write(2, b"last words\n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    os.write(2, b"alive\n")
    assert seen == ["last words\n"]
    assert capfd.readouterr().err == "alive\n"
