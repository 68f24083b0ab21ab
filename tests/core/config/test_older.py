"""model.dtype of older versions: read as what it meant, and hashed as it was."""

import json
from pathlib import Path

import pytest

from core.config.load import (
    assign,
    build_config,
    config_hash,
    parse_assignment,
    read_toml,
    to_tree,
)
from core.config.older import hashed_form, plan_of_today, tree_of_today
from core.errors import UserError
from core.plans.load import parse_plan
from core.registry.preview import preview_run

MEANT = [("auto", "auto"), ("float32", "float32"), ("bfloat16", "mixed")]


@pytest.mark.parametrize(("older", "today"), MEANT)
def test_files_options_and_registries_mean_what_they_meant(
    tmp_path: Path, older: str, today: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[model]\ndtype = "{older}"\ndevice = "cpu"\n', encoding="utf-8")
    tree: dict = {}
    assign(tree, *parse_assignment(f"model.dtype={older}"))
    stored = preview_run("r", {"kind": "sft", "model": {"dtype": older, "device": "cpu"}})
    for found in (read_toml(path), tree, stored.config, {"model": {"dtype": older}}):
        assert build_config(found).train.precision == today
    assert stored.config["model"] == {"device": "cpu"}


@pytest.mark.parametrize(("older", "today"), MEANT)
def test_hashes_are_those_of_the_older_form(older: str, today: str) -> None:
    config = build_config({"train": {"precision": today, "lr": 1e-3}})
    form = hashed_form(to_tree(config))
    assert form["model"]["dtype"] == older
    assert "precision" not in form["train"]
    assert tree_of_today(form) == to_tree(config)
    assert config_hash(config) == config_hash(
        build_config({"model": {"dtype": older}, "train": {"lr": 1e-3}})
    )


def test_what_older_versions_could_not_say_has_a_hash_of_its_own() -> None:
    names = ["auto", "float32", "mixed", "stochastic", "bfloat16"]
    assert len({config_hash(build_config({"train": {"precision": n}})) for n in names}) == 5


def test_both_names_at_once_are_refused_and_a_wrong_value_names_the_allowed_ones() -> None:
    with pytest.raises(UserError, match=r"'model.dtype' is not a setting; it is called train.prec"):
        build_config({"model": {"dtype": "float32"}, "train": {"precision": "mixed"}})
    with pytest.raises(UserError, match=r"train.precision: .*'mixed', 'stochastic' or 'bfloat16'"):
        build_config({"model": {"dtype": "fp8"}})


OLD_PLAN = """
name = "formats"
seeds = [0, 1]
[base]
kind = "grpo"
"model.dtype" = "bfloat16"
[base.evaluation]
limit = 4
[groups.narrow]
"start.model.dtype" = "float32"
[groups.wide]
"grpo.steps" = 3
[axes]
"train.lr" = [1e-4, 2e-4]
[start]
kind = "sft"
data.size = 8
"""
TODAYS_PLAN = OLD_PLAN.replace('"model.dtype" = "bfloat16"', '"train.precision" = "mixed"').replace(
    "start.model.dtype", "start.train.precision"
)


def test_cells_of_a_plan_keep_their_identity() -> None:
    older, today = (parse_plan(Path("plan.toml"), text) for text in (OLD_PLAN, TODAYS_PLAN))
    assert list(older.by_id) == list(today.by_id)
    starts = {older.by_id[cell.start].config.train.precision for cell in older.cells}
    assert starts == {"mixed", "float32"}
    assert {cell.config.train.precision for cell in older.cells} == {"mixed"}


def test_settings_of_a_plan_are_renamed_wherever_they_stand() -> None:
    older = {
        "base": {"model": {"dtype": "bfloat16"}, "train": {"lr": 1.0}},
        "axes": {"model.dtype": ["float32", "bfloat16"]},
        "zip": [{"start.model.dtype": ["auto"], "seed": [1]}],
        "sets": {"a": {"settings": {"model.dtype": "bfloat16", "evaluation.dtype": "bfloat16"}}},
        "start": {"model": {"dtype": "float32", "source": "builtin"}},
    }
    assert plan_of_today(older) == {
        "base": {"train.precision": "mixed", "train": {"lr": 1.0}},
        "axes": {"train.precision": ["float32", "mixed"]},
        "zip": [{"start.train.precision": ["auto"], "seed": [1]}],
        "sets": {"a": {"settings": {"train.precision": "mixed", "evaluation.dtype": "bfloat16"}}},
        "start": {"train.precision": "float32", "model": {"source": "builtin"}},
    }
    assert json.dumps(plan_of_today({"seeds": [0], "name": "n"})) == '{"seeds": [0], "name": "n"}'
