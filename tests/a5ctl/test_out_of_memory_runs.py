"""Runs that run out of memory: they go on in smaller pieces and say so, or end with a sentence."""

from collections.abc import Sequence

import pytest
import torch

from tests.a5ctl import handmade
from tests.a5ctl.conftest import House
from trainers.sft import SFT
from trainers.tokenization import Example

# in bfloat16 the rounding of a sum depends on the pieces
_OPTIONS = (
    "--quiet",
    "--eval-limit",
    "1",
    "--set",
    "train.microbatch_tokens=512",
    "--set",
    "train.precision=float32",
)


def exhaust_above(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Micro-batches above this budget run out of memory, with gradients already accumulated."""
    real = SFT._gradients

    def gradients(
        self: SFT, batch: Sequence[Example], denominator: float, tokens: int
    ) -> tuple[float, float]:
        found = real(self, batch, denominator, tokens)
        if tokens > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        return found

    monkeypatch.setattr(SFT, "_gradients", gradients)


def losses(house: House) -> list[float]:
    store = handmade.open_home(house.home)
    return [point.value for point in store.metrics(store.runs()[0].uuid)["loss"]]


@pytest.mark.slow
def test_a_run_goes_on_in_smaller_pieces_and_keeps_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.sft(*_OPTIONS)
    undisturbed = losses(house)
    exhaust_above(monkeypatch, 256)
    run = house.sft(*_OPTIONS)
    store = handmade.open_home(house.home)
    record = store.find_run(run)
    events = [e for e in store.events(record.uuid) if e.kind == "out_of_memory"]
    assert [(e.step, e.severity) for e in events] == [(1, "warning")]
    assert "micro-batches shrink from 512 to 256 tokens" in events[0].message
    assert record.config["train"]["microbatch_tokens"] == 256
    assert losses(house) == pytest.approx(undisturbed, rel=1e-4)


@pytest.mark.slow
def test_a_run_that_fits_in_no_way_ends_with_one_sentence(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhaust_above(monkeypatch, 0)
    result = house.run("run", "sft", *house.small, *_OPTIONS)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    said = " ".join(result.output.split())
    assert "step 1 does not fit into memory" in said
    assert "--max-length" in said


def test_estimate_and_measured_peak_are_compared(house: House) -> None:
    run = house.sft("--eval-limit", "1")
    store = handmade.open_home(house.home)
    messages = {e.kind: e.message for e in store.events(store.find_run(run).uuid)}
    assert "training will take about" in messages["preflight.memory"]
    assert "that were estimated" in messages["memory"] or "does not tell" in messages["memory"]


@pytest.mark.slow
def test_activation_checkpointing_is_a_setting_and_changes_no_loss(house: House) -> None:
    house.sft("--eval-limit", "1")
    plain = losses(house)
    run = house.sft("--eval-limit", "1", "--set", "train.activation_checkpointing=on")
    store = handmade.open_home(house.home)
    kinds = {e.kind for e in store.events(store.find_run(run).uuid)}
    assert "activation_checkpointing" in kinds
    assert losses(house) == plain
