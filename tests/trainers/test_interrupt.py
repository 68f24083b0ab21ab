"""Signals: held back until the step is done, immediate outside of steps and on the second one."""

# ruff: noqa: PT012 - a signal stops a block anywhere, so the blocks hold what must not happen

import os
import signal

import pytest

from trainers.interrupt import Interrupted, Interrupts


def test_a_signal_inside_a_step_waits_for_its_end() -> None:
    interrupts, done = Interrupts(), []
    with interrupts.installed(), pytest.raises(Interrupted) as caught:
        with interrupts.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("step")
        assert interrupts.requested
        interrupts.raise_now()
    assert done == ["step"]
    assert caught.value.exit_code == 130


def test_a_second_signal_does_not_wait() -> None:
    interrupts, done = Interrupts(), []
    with interrupts.installed(), pytest.raises(Interrupted), interrupts.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("never")
    assert done == []


def test_outside_of_steps_a_signal_stops_at_once() -> None:
    with Interrupts().installed(), pytest.raises(Interrupted) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.exit_code == 143


def test_the_handlers_before_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts().installed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
