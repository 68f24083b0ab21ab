"""The GPU suite's frame: it ends in time, keeps what was found, and names what is missing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_parts, gpu_suite
from benchmarks.gpu_mfu import needed_flops, peak_tflops, utilization
from benchmarks.gpu_parts import PARTS, Given, Part
from benchmarks.gpu_rows import Kind, Row, read_rows, table

ROOT = Path(__file__).parents[2]
SLEEPS = """
import sys, time
sys.path.insert(0, {root!r})
from benchmarks.gpu_rows import report
report("before", 1.0, "s")
print("last words", file=sys.stderr)
{then}
"""


def part(name: str, **changed: Any) -> Part:
    return Part(**{"name": name, "title": name, "call": "x:y", "least": 0, "limit": 9, **changed})


def suite(
    monkeypatch: pytest.MonkeyPatch, folder: Path, minutes: float, **parts: tuple[Part, str]
) -> gpu_suite.Suite:
    """A suite whose parts run these statements instead."""

    def command(_: gpu_suite.Suite, one: Part, given: dict[str, Any]) -> list[str]:
        return [sys.executable, "-S", "-c", SLEEPS.format(root=str(ROOT), then=parts[one.name][1])]

    monkeypatch.setattr(gpu_suite.Suite, "command", command)
    return gpu_suite.Suite(
        [one for one, _ in parts.values()],
        minutes,
        folder / "out.json",
        dry=True,
        device="cpu",
        work=folder,
    )


@pytest.mark.slow
def test_a_part_that_hangs_is_ended_with_what_it_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = suite(
        monkeypatch,
        tmp_path,
        1,
        hangs=(part("hangs", limit=0.7), "time.sleep(60)"),
        breaks=(part("breaks"), "sys.exit('it broke')"),
        lacks=(part("lacks", needs=("no_such_module",)), ""),
        works=(part("works"), "report('after', 0.5, 'share', bar='>= 0.4')"),
    )
    started = time.monotonic()
    found.run()
    assert time.monotonic() - started < 30
    states = {name: one["state"] for name, one in found.found.items()}
    assert states == {
        "hangs": "out of time",
        "breaks": "failed",
        "lacks": "skipped",
        "works": "done",
    }
    notes = {name: one["rows"][-1].note for name, one in found.found.items()}
    assert notes["hangs"] == "stopped after 1 s; what it had is above"
    assert notes["breaks"] == "it broke"
    assert notes["lacks"].startswith("no_such_module is not installed; ")
    assert [row.name for row in found.found["hangs"]["rows"]] == ["before", "this part"]
    text = found.shown()
    assert text.startswith("dry run: the figures mean nothing\n")
    assert "50.00%  >= 40%" in text
    kept = json.loads((tmp_path / "out.json").read_text())
    assert kept["dry_run"]
    assert kept["parts"]["works"]["rows"][-1]["value"] == 0.5


def test_what_has_no_time_left_is_not_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = suite(monkeypatch, tmp_path, 0.1, late=(part("late"), ""))
    found.run()
    assert found.found["late"]["state"] == "not started"
    assert "give --part late" in found.found["late"]["rows"][0].note


def test_later_parts_keep_the_time_that_they_need(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = suite(monkeypatch, tmp_path, 2)
    found.dry = False
    limits: list[float] = []
    monkeypatch.setattr(
        gpu_suite.Suite,
        "_in_a_process",
        lambda _, __, limit: limits.append(limit) or {"state": "done", "rows": []},
    )
    found.parts = [part("first", least=5, limit=200), part("second", least=60, limit=70)]
    found.run()
    assert limits == pytest.approx([50, 70], abs=1)


def test_sigterm_ends_with_the_table(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from benchmarks import gpu_suite
sleeps = {SLEEPS.format(root=str(ROOT), then="time.sleep(60)")!r}
gpu_suite.Suite.command = lambda *_: [sys.executable, "-S", "-c", sleeps]
gpu_suite.choose_device = lambda given: "cpu"
sys.argv = ["suite", "--dry-run", "--part", "machine", "--part", "loss", "--out", "out.json"]
sys.argv += ["--work", "work"]
sys.exit(gpu_suite.main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    rows = tmp_path / "work" / "machine.jsonl"
    until = time.monotonic() + 30
    while not read_rows(rows) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "dry run: the figures mean nothing" in text
    assert "(stopped)" in text
    assert "before" in text
    assert "(not started)" in text


@pytest.mark.slow
def test_a_dry_run_measures_and_prints_the_table(tmp_path: Path) -> None:
    """One real part; the rest take minutes, and go by `--dry-run` without `--part`."""
    script = str(ROOT / "benchmarks" / "gpu_suite.py")
    out = tmp_path / "out.json"
    told = subprocess.run(
        [sys.executable, script, "--dry-run", "--device", "cpu", "--part", "machine", "--out", out],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = json.loads(out.read_text())["parts"].values()
    assert found["state"] == "done"
    assert {row["name"] for row in found["rows"]} > {"bf16 matrix product", "vllm", "flash-attn"}
    assert "copy within the device" in told.stdout
    assert f"written to {out}" in told.stdout


def test_every_part_is_there_and_reads_what_is_made_before() -> None:
    names = [one.name for one in PARTS]
    assert len(set(names)) == len(names)
    for one in PARTS:
        module, function = one.call.split(":")
        text = (ROOT / "benchmarks" / f"{module}.py").read_text(encoding="utf-8")
        assert f"def {function}(given: Given)" in text
        assert one.least < one.limit
        assert not one.models or names.index("models") < names.index(one.name)
    # what has to be measured takes less than is there
    assert sum(one.least for one in PARTS) < 9.5 * 60
    assert [one.name for one in gpu_parts.with_models(gpu_parts.find(["copy"]))] == [
        "models",
        "copy",
    ]


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(SystemExit, match="no part is called 'sfy'; choose from machine, "):
        gpu_parts.find(["sfy"])


def test_a_cpu_gives_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch sees no GPU here; give --dry-run"):
        gpu_suite.choose_device(gpu_suite.parse([]))
    assert gpu_suite.choose_device(gpu_suite.parse(["--dry-run"])) == "cpu"
    with pytest.raises(SystemExit, match="figures of a CPU mean nothing here"):
        gpu_suite.choose_device(gpu_suite.parse(["--device", "cpu"]))


def test_a_smaller_card_is_told_of_and_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from benchmarks.gpu_run import imitate_card

    gib, shares = 2**30, []
    used = 2
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: ((140 - used) * gib, 140 * gib))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    imitate_card(40)
    assert shares == [pytest.approx(38 / 140)]
    assert torch.cuda.mem_get_info() == (38 * gib, 40 * gib)
    used = 39
    assert torch.cuda.mem_get_info(0) == (gib, 40 * gib)
    used = 41
    assert torch.cuda.mem_get_info() == (0, 40 * gib)


@pytest.mark.parametrize(
    ("shape", "gib", "tokens"),
    [("0.5b", 139.7, 16_384), ("1.5b", 139.7, 16_384), ("1.5b", 79.1, 8_192), ("0.5b", 23, 4_096)],
)
def test_rows_are_as_long_as_a_card_allows(shape: str, gib: float, tokens: int) -> None:
    from benchmarks.gpu_part_sft import row_tokens

    assert row_tokens(shape, gib) == tokens


def test_half_a_row_of_a_killed_part_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"name": "a", "kind": "fact", "text": "b"}\n{"name": "c", "ki')
    assert read_rows(path) == [Row("a", Kind.FACT, text="b")]


def test_a_figure_says_whether_it_reaches_its_bar() -> None:
    rows = [
        Row("more", value=0.41, unit="share", bar=">= 0.4"),
        Row("less", value=1.3, unit="times", bar="<= 1.1"),
        Row("none", Kind.SKIPPED, note="vllm is not installed"),
    ]
    text = table({"one": {"title": "a part", "state": "done", "seconds": 3.2, "rows": rows}})
    assert "41.00%  ok >= 40%" in text
    assert "1.30 times  NOT <= 1.1" in text
    assert "skipped" in text
    assert "vllm is not installed" in text


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165),
        ("Tesla T4", None),
    ],
)
def test_the_peak_goes_by_the_name_of_the_gpu(name: str, rate: float | None) -> None:
    assert peak_tflops(name) == rate


def test_needed_flops_are_those_that_torch_counts() -> None:
    """Written-out attention computes the whole square, of which a causal mask leaves half."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.gpu_sft_work import SHAPES, build_model

    shape, length = SHAPES["tiny"], 24
    model = build_model("tiny", torch.device("cpu"), torch.float32)
    model.set_attn_implementation("eager")
    ids = torch.arange(length).unsqueeze(0)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    other_half = 6 * shape.num_hidden_layers * shape.hidden_size * length * length
    needed = needed_flops(shape, [length], length)
    assert counter.get_total_flops() == needed + other_half


def test_a_gpu_without_a_known_peak_has_no_mfu() -> None:
    assert utilization(1e12, 1.0, None) is None
    assert utilization(494.5e12, 1.0, 989.0) == pytest.approx(0.5)


def test_a_given_part_knows_its_time(tmp_path: Path) -> None:
    given = Given(True, "cpu", tmp_path, time.monotonic() + 5)
    assert 4 < given.left <= 5
    assert given.shape("qwen2.5-0.5b") == "tiny"
    assert (given.precision, Given(False, "cuda", tmp_path, 0).precision) == ("float32", "mixed")
