"""Configs: TOML and --set in, the same TOML out, and errors that name the setting."""

from pathlib import Path

import pytest

from core.config.load import (
    assign,
    build_config,
    config_hash,
    leaf_keys,
    parse_assignment,
    read_toml,
    to_toml,
)
from core.config.schema import RunConfig
from core.errors import UserError


def test_a_written_config_reads_back_as_the_same_config(tmp_path: Path) -> None:
    config = build_config(
        {"seed": 3, "train": {"lr": 1e-5, "epochs": 2}, "evaluation": {"stop": ["</answer>", "\n"]}}
    )
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert build_config(read_toml(path)) == config


def test_every_leaf_can_be_assigned() -> None:
    for key in leaf_keys():
        tree: dict = {}
        assign(tree, key, "value")
        section = tree
        for part in key.split("."):
            section = section[part]
        assert section == "value"


def test_every_leaf_has_a_help_text() -> None:
    def described(model: type) -> bool:
        return all(
            described(field.annotation)
            if hasattr(field.annotation, "model_fields")
            else bool(field.description)
            for field in model.model_fields.values()
        )

    assert described(RunConfig)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.lr=1e-5", ("train.lr", 1e-5)),
        ("train.supervise=answer", ("train.supervise", "answer")),
        ('name="a b"', ("name", "a b")),
        ("evaluation.at_start=false", ("evaluation.at_start", False)),
        ("tags=['a','b']", ("tags", ["a", "b"])),
        ("note=x=y", ("note", "x=y")),
    ],
)
def test_assignments_are_toml_values_or_strings(text: str, expected: tuple) -> None:
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["train.lr", "=3", ""])
def test_an_assignment_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="key=value"):
        parse_assignment(text)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"did you mean train\.lr\?"):
        assign({}, "lr", 1.0)
    with pytest.raises(
        UserError, match=r"'train\.epoch' is not a setting; did you mean train\.epochs"
    ):
        build_config({"train": {"epoch": 1}})


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"train": {"epochs": 1, "steps": 2}}, "epochs and steps are both budgets"),
        ({"train": {"lr": -1.0}}, r"train\.lr: .*greater than 0 \(got -1\.0\)"),
        ({"train": {"supervise": "all"}}, r"train\.supervise: .*'response', 'closing' or 'answer'"),
        ({"data": {"size": 0}}, r"data\.size"),
        ({"data": {"filter": "solved-by"}}, "belong together"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_a_wrong_value_is_one_sentence(tree: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_config(tree)
    assert "\n" not in str(caught.value)


def test_labels_do_not_change_the_hash_and_settings_do() -> None:
    base = build_config({})
    assert config_hash(base) == config_hash(build_config({"name": "x", "tags": ["y"], "note": "z"}))
    assert config_hash(base) != config_hash(build_config({"train": {"lr": 1e-4}}))


def test_broken_toml_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("a = [")
    with pytest.raises(UserError, match=r"broken\.toml is not valid TOML"):
        read_toml(path)
    path.write_text("a = " + "[" * 10_000)
    with pytest.raises(UserError, match=r"broken\.toml is not valid TOML: it is nested too deep"):
        read_toml(path)
    with pytest.raises(UserError, match=r"absent\.toml cannot be read"):
        read_toml(tmp_path / "absent.toml")
