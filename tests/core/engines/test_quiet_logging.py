"""vLLM's messages are kept away from the terminal, without touching the logging module's lock."""

import logging

import pytest

from core.engines.vllm_setup import LogBuffer, quiet_logging


def test_messages_go_to_the_buffer_alone(caplog: pytest.LogCaptureFixture) -> None:
    log, buffer = logging.getLogger("vllm"), LogBuffer()
    before = list(log.handlers), log.propagate
    with quiet_logging(buffer):
        log.error("no memory")
        log.info("loading")
    assert buffer.errors() == ["ERROR: no memory"]
    assert (list(log.handlers), log.propagate) == before
    assert not caplog.records


def test_no_level_is_changed_because_a_stop_just_then_would_keep_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = []
    monkeypatch.setattr(logging.Logger, "setLevel", lambda *given: changed.append(given))
    with quiet_logging(LogBuffer()):
        pass
    assert changed == []
