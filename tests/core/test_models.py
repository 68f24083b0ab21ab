"""Which models are accepted, and what their hash covers."""

import json
import os
import re
import shutil
import sys

import pytest

from core.errors import UserError
from core.models import (
    encode_prompt,
    end_token_ids,
    load_config,
    load_tokenizer,
    model_hash,
    resolve_model,
)
from core.pretrained import load_causal_lm
from tests.models import write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_local_folder_is_resolved(folder):
    source = resolve_model(str(folder))
    assert (source.path, source.name) == (folder.resolve(), str(folder))


@pytest.mark.parametrize(
    ("removed", "sentence"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", r"no \.safetensors weights"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_missing_file_is_named(copy, removed, sentence):
    (copy / removed).unlink()
    with pytest.raises(UserError, match=sentence):
        resolve_model(str(copy))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("num_hidden_layers", 10**9), ("hidden_size", 10**12), ("vocab_size", 10**10)),
        *(("intermediate_size", 10**9), ("num_labels", 10**9)),
    ],
)
def test_a_config_that_is_larger_than_its_weights_is_refused_before_it_is_built(copy, name, value):
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps(config | {name: value}), encoding="utf-8")
    with pytest.raises(UserError, match=r"config and weights belong to different models"):
        resolve_model(str(copy))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
@pytest.mark.parametrize("name", ["config.json", "more.json", "more.safetensors"])
@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_and_not_opened(copy, name, what):
    (copy / name).unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(copy / name)
    elif what == "device":
        (copy / name).symlink_to("/dev/zero")
    else:
        (copy / name).mkdir()
    with pytest.raises(UserError, match=re.escape(name)):
        resolve_model(str(copy))


@pytest.mark.parametrize("shard", ["../elsewhere.safetensors", "/etc/passwd", "weights.bin", 7])
def test_an_index_of_weights_leads_neither_out_nor_to_pickles(copy, shard):
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": shard}}))
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json"):
        resolve_model(str(copy))


def test_words_of_a_model_folder_reach_no_terminal(copy, capfd):
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config |= {"rope_parameters": {"rope_type": "\x1b[31mred", "rope_theta": 1e4}}
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    load_config(copy)
    assert capfd.readouterr() == ("", "")


def test_an_end_token_that_is_no_number_is_named(copy):
    tokenizer = load_tokenizer(copy)
    (copy / "generation_config.json").write_text('{"eos_token_id": ["<end>"]}')
    with pytest.raises(UserError, match="has an eos_token_id that is neither"):
        end_token_ids(copy, tokenizer)


def test_code_in_a_model_folder_is_never_run(copy, tmp_path, monkeypatch):
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Own"}}
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    mark = tmp_path / "it ran"
    (copy / "own.py").write_text(f"open({str(mark)!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(UserError, match="own"):
        load_causal_lm(copy, "float32")
    settings = json.loads((copy / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings |= {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}}
    (copy / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("a person was asked to run it"))
    with pytest.raises(UserError, match="own"):
        load_tokenizer(copy)
    assert not mark.exists()


def test_pickled_weights_are_refused(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickle"):
        resolve_model(str(copy))


@pytest.mark.parametrize("spec", ["./nowhere/at/all", "no such model", "../x"])
def test_unknown_path_is_not_taken_for_a_hub_id(spec):
    with pytest.raises(UserError, match="neither 'builtin', nor an existing folder"):
        resolve_model(spec)


def test_file_instead_of_folder_is_refused(copy):
    with pytest.raises(UserError, match="is a file"):
        resolve_model(str(copy / "config.json"))


def test_hub_failure_is_one_sentence(monkeypatch):
    import huggingface_hub

    def offline(*args, **kwargs):
        raise ConnectionError("no route to host\nlong explanation")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UserError, match="no route to host") as caught:
        resolve_model("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_hub_download_takes_no_pickles(monkeypatch, folder):
    import fnmatch

    import huggingface_hub

    def download(spec, allow_patterns):
        wanted = [p for p in allow_patterns if fnmatch.fnmatch("pytorch_model.bin", p)]
        assert (spec, wanted) == ("org/name", [])
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve_model("org/name").path == folder


def test_hash_follows_weights_and_config_but_not_other_files(folder, copy):
    assert model_hash(copy) == model_hash(folder)
    (copy / "README.md").write_text("about")
    assert model_hash(copy) == model_hash(folder)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert model_hash(copy) != model_hash(folder)


def test_prompt_ids_hold_no_special_tokens(folder):
    tokenizer = load_tokenizer(folder)
    ids = encode_prompt(tokenizer, "Tom has 3 apples")
    assert tokenizer.decode(ids) == "Tom has 3 apples"
    assert not set(ids) & set(tokenizer.all_special_ids)


def test_end_tokens_are_eos_and_those_of_the_generation_config(copy):
    tokenizer = load_tokenizer(copy)
    (copy / "generation_config.json").write_text('{"eos_token_id": [0, 17, 5]}')
    assert end_token_ids(copy, tokenizer) == (0, 17, 5)
    (copy / "generation_config.json").write_text("{}")
    assert end_token_ids(copy, tokenizer) == (0,)


def test_broken_tokenizer_is_one_sentence(copy):
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_tokenizer(copy)


def test_companions_of_a_cpu_torch_are_marked_absent():
    import torch

    if torch.version.cuda is None:
        assert sys.modules.get("torchvision", "absent") in (None, "absent")
