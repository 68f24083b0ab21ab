"""Settings of runs: shared where only labels differ, and never where more does."""

import json
from typing import Any

import pytest

from a5ctl.tables.settings import run_settings
from core.registry.records import RunRecord, RunStatus

REST = {"model": {"source": "builtin"}, "train": {"lr": 1e-3, "stop": ["a"]}}


def run(config: dict[str, Any], kind: str = "sft") -> RunRecord:
    values: dict[str, Any] = dict.fromkeys(RunRecord.__dataclass_fields__)
    values |= {"kind": kind, "status": RunStatus.FINISHED, "config_json": json.dumps(config)}
    return RunRecord(**values)


def test_seeds_of_one_setting_share_what_was_read() -> None:
    first, second = (run_settings(run({"kind": "sft", "seed": s, **REST})) for s in (0, 1))
    assert first is second
    assert first == {
        "kind": "sft",
        "data.size": "full",
        "model.source": "builtin",
        "train.lr": 1e-3,
        "train.stop": ["a"],
    }


@pytest.mark.parametrize("name", ['x, "model": {', '"', '", "model": {"source": "other"}', "\\"])
def test_a_name_cannot_pass_for_settings(name: str) -> None:
    found = run_settings(run({"kind": "sft", "name": name, "seed": 3, **REST}))
    assert found is run_settings(run({"kind": "sft", "seed": 0, **REST}))


def test_what_stands_before_the_model_counts_unless_it_is_a_label() -> None:
    found = run_settings(run({"kind": "sft", "beta": 0.5, **REST}))
    assert found["beta"] == 0.5
    assert "beta" not in run_settings(run({"kind": "sft", **REST}))


def test_the_order_of_settings_does_not_matter_and_the_kind_does() -> None:
    turned = {"train": dict(reversed(REST["train"].items())), "model": REST["model"]}
    assert run_settings(run(turned)).text == run_settings(run(REST)).text
    assert run_settings(run(REST, "eval")).text != run_settings(run(REST)).text
