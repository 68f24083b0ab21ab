"""UUIDs in CUDA_VISIBLE_DEVICES become indices."""

import pytest

from core.engines import devices
from core.engines.devices import normalize_visible_devices, visible_indices
from core.engines.gpus import parse_listing, parse_memory
from core.errors import UserError

UUIDS = ["GPU-aaaa1111-0000", "GPU-bbbb2222-0000", "GPU-bbbb3333-0000"]
MIG = "MIG-5c89852c-d268-c3f3-1b07-005d5ae1dc3f"


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
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    monkeypatch.setattr(devices, "gpu_uuids", lambda: UUIDS)
    normalize_visible_devices()
    assert devices.os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_unset_variable_stays_unset(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert normalize_visible_devices() is None


def test_uuids_become_numbers_in_the_order_that_cuda_is_told(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bbbb2")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    monkeypatch.setattr(devices, "gpu_uuids", lambda: UUIDS)
    normalize_visible_devices()
    assert devices.os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_the_order_of_numbers_is_left_alone(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 0")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    normalize_visible_devices()
    assert "CUDA_DEVICE_ORDER" not in devices.os.environ


@pytest.mark.parametrize(
    ("value", "entries"),
    [(None, ["0", "1"]), ("3, 1", ["3", "1"]), ("", []), ("2,-1,0", ["2"]), (MIG, [MIG])],
)
def test_what_is_visible_is_read_as_cuda_reads_it(monkeypatch, value, entries):
    if value is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert devices.visible_entries(2) == entries


def test_the_engines_own_gpu_comes_first_and_an_instance_stays_alone():
    assert devices.seen_first("1", "0") == "1,0"
    assert devices.seen_first("1", None) == devices.seen_first("1", "1") == "1"
    assert devices.seen_first(MIG, "0") == MIG


LISTING = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa1111-0000)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb2222-0000)
  MIG 3g.20gb     Device  0: (UUID: MIG-5c89852c-d268-c3f3-1b07-005d5ae1dc3f)
  MIG 3g.20gb     Device  1: (UUID: MIG-677e3aef-a9c9-4f08-9efa-c1a2c3d4e5f6)
"""


def test_the_drivers_listing_is_read_with_its_instances():
    whole, divided = parse_listing(LISTING.splitlines())
    assert (whole.index, whole.uuid, whole.instances) == (0, "GPU-aaaa1111-0000", ())
    assert divided.instances[0] == MIG
    assert len(divided.instances) == 2


@pytest.mark.parametrize(
    ("value", "index"),
    [(MIG, "1"), (MIG[:12], "1"), ("MIG-GPU-bbbb2222-0000/1/0", "1"), ("0,1", None), (None, None)],
)
def test_vllm_reads_the_gpu_that_an_instance_is_part_of(value, index):
    assert devices.index_for_vllm(value, parse_listing(LISTING.splitlines())) == index


def test_an_instance_of_another_machine_is_refused():
    with pytest.raises(UserError, match="no MIG instance of this machine"):
        devices.index_for_vllm("MIG-0000", parse_listing(LISTING.splitlines()))


def test_memory_is_read_where_the_driver_tells_it():
    lines = ["GPU-AAAA1111-0000, 40960, 40000", "GPU-bbbb2222-0000, [N/A], [N/A]", ""]
    assert parse_memory(lines) == {"gpu-aaaa1111-0000": (40960 << 20, 40000 << 20)}
