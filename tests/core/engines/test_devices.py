"""UUIDs in CUDA_VISIBLE_DEVICES become indices."""

import pytest

from core.engines import devices
from core.engines.devices import normalize_visible_devices, visible_indices
from core.errors import UserError

UUIDS = ["GPU-aaaa1111-0000", "GPU-bbbb2222-0000", "GPU-bbbb3333-0000"]


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        ("GPU-bbbb2222-0000", "1"),
        ("GPU-bbbb3, GPU-aaaa", "2,0"),
        ("gpu-AAAA1111-0000,1", "0,1"),
    ],
)
def test_full_abbreviated_and_spaced_uuids_are_mapped(value, indices):
    assert visible_indices(value, UUIDS) == indices


@pytest.mark.parametrize(
    ("value", "problem"), [("GPU-cccc", "no GPU of this machine"), ("GPU-bbbb", "2 GPUs")]
)
def test_unknown_and_ambiguous_uuids_are_refused(value, problem):
    with pytest.raises(UserError, match=problem):
        visible_indices(value, UUIDS)


@pytest.mark.parametrize(("before", "after"), [("0, 1", "0,1"), ("", ""), ("2", "2")])
def test_indices_only_lose_their_spaces(monkeypatch, before, after):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    assert normalize_visible_devices() == after


def test_environment_is_rewritten(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bbbb2")
    monkeypatch.setattr(devices, "gpu_uuids", lambda: UUIDS)
    normalize_visible_devices()
    assert devices.os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_unset_variable_stays_unset(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert normalize_visible_devices() is None
