"""Models and data brought into folders, and what is said where there is no network."""

import hashlib
import http.server
import json
import sys
import threading
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from huggingface_hub import constants

from core.data.load import load_data
from core.models import model_hash
from tests.a5ctl.conftest import House

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "somebody/small"
ROWS = {
    "train": [{"question": f"What is {i} + 1?", "answer": f"It is.\n#### {i + 1}"} for i in (1, 2)],
    "test": [{"question": "What is 8 + 8?", "answer": "Twice <<8*2=16>>16.\n#### 16"}],
}


@dataclass
class Hub:
    """A hub on this machine.

    Attributes:
        files: What its one model holds, by name.
        broken: A file of which the hub says nothing but an error.
        asked: Paths that were asked for.
    """

    files: dict[str, bytes]
    broken: str | None = None
    asked: list[str] = field(default_factory=list)

    def info(self) -> bytes:
        siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
        return json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings}).encode()

    def tree(self) -> bytes:
        return json.dumps(
            [
                {"type": "file", "path": name, "size": len(data), "oid": _digest(data)}
                for name, data in self.files.items()
            ]
        ).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


class Answers(http.server.BaseHTTPRequestHandler):
    """What the hub's HTTP interface says of one model."""

    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        self.hub.asked.append(path := self.path.partition("?")[0])
        name = path.rpartition(f"/resolve/{COMMIT}/")[2]
        if path.startswith(f"/api/models/{NAME}/tree/"):
            body, headers = self.hub.tree(), {"Content-Type": "application/json"}
        elif path.startswith(f"/api/models/{NAME}"):
            body, headers = self.hub.info(), {"Content-Type": "application/json"}
        elif name == self.hub.broken:
            self.send_error(403)
            return
        elif name in self.hub.files and path.startswith(f"/{NAME}/"):
            body = self.hub.files[name]
            headers = {"ETag": f'"{_digest(body)}"', "X-Repo-Commit": COMMIT}
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def hub(small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {file.name: file.read_bytes() for file in (small_folder / "model").iterdir()}
    there = Hub(files | {"pytorch_model.bin": b"a pickle"})
    handler = type("Handler", (Answers,), {"hub": there})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    set_endpoint(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "")
    yield there
    server.shutdown()
    server.server_close()


def set_endpoint(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """What `HF_ENDPOINT` would have said when the library was imported."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/"
                        "{revision}/{filename}")  # fmt: skip
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, str]]]:
    """The package datasets, as far as it is used: it is large, and asks a hub of its own."""
    package = types.ModuleType("datasets")
    package.load_dataset = lambda name, part: {"openai/gsm8k main": ROWS}[f"{name} {part}"]
    monkeypatch.setitem(sys.modules, "datasets", package)
    return ROWS


@pytest.mark.slow
def test_model_and_data_come_as_folders_and_runs_use_them_offline(
    hub: Hub, rows: object, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "shared"
    found = house.json("fetch", NAME, "--data", "gsm8k", "--to", str(to))
    assert [(each["kind"], each["folder"], each["fetched"]) for each in found] == [
        ("model", str(to / "small"), True),
        ("data", str(to / "gsm8k"), True),
    ]
    assert sorted(file.name for file in to.iterdir()) == ["gsm8k", "small"]
    assert model_hash(to / "small") == model_hash(house.model)
    assert (to / "small" / "SOURCE").read_text() == f"{NAME} {COMMIT}\n"
    assert not (to / "small" / "pytorch_model.bin").exists()
    # the same problems as from the hub itself, under the same ids
    assert load_data(str(to / "gsm8k")) == load_data("gsm8k")

    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    again = house.run("fetch", NAME, "--data", "gsm8k", "--to", str(to))
    assert again.output.count("was there") == 2, again.output
    folders = ("--model", str(to / "small"), "--data", str(to / "gsm8k"))
    house.sft(*folders, "--size", "2", "--steps", "1", "--batch-size", "2")
    assert len(hub.asked) == asked


def test_a_failed_download_leaves_no_folder_and_goes_on(
    hub: Hub, house: House, tmp_path: Path
) -> None:
    hub.broken = "tokenizer.json"
    result = house.run("fetch", NAME, "--to", str(tmp_path / "to"))
    assert result.exit_code == 2, result.output
    assert f"model '{NAME}'" in result.output
    assert [file.name for file in (tmp_path / "to").iterdir()] == [".small.partial"]
    hub.broken, hub.asked[:] = None, []
    (found,) = house.json("fetch", NAME, "--to", str(tmp_path / "to"))
    assert model_hash(Path(found["folder"])) == model_hash(house.model)
    assert [file.name for file in (tmp_path / "to").iterdir()] == ["small"]


@pytest.mark.slow
def test_what_cannot_be_fetched_is_refused_with_the_way_out(
    hub: Hub, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: str) -> str:
        result = house.run("fetch", *arguments, "--to", str(tmp_path / "to"))
        assert result.exit_code == 2, result.output
        assert not (tmp_path / "to").exists()
        return " ".join(result.output.split())

    assert "the model hub knows no such name" in refused("nobody/nothing")
    assert "no id of the hub" in refused("../outside")
    assert "no id of the hub" in refused("--data", "/etc")
    assert "nothing is named" in refused()
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=1000))
    assert "has 0.0 GB free" in refused(NAME)
    del hub.files["model.safetensors"]
    assert "no safetensors weights" in refused(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "unset it" in refused(NAME)


@pytest.mark.slow
def test_without_a_network_one_sentence_comes_at_once(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*options: str) -> str:
        before = time.monotonic()
        result = house.run("run", "sft", *house.small, *options)
        assert result.exit_code == 2, result.output
        assert time.monotonic() - before < 20
        assert not any((house.home / "runs").glob("*"))
        return " ".join(result.output.split())

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    # nobody listens there
    set_endpoint(monkeypatch, "http://127.0.0.1:9")
    text = refused("--model", NAME)
    assert "could not be fetched from the model hub" in text
    assert "a5ctl fetch makes one where there is a network" in text
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    text = refused("--model", NAME)
    assert "HF_HUB_OFFLINE says that there is no network" in text
    assert f"a5ctl fetch {NAME} --to DIR" in text

    def offline(*_: object) -> None:
        raise ConnectionError("offline mode is enabled")

    package = types.ModuleType("datasets")
    package.load_dataset = offline
    monkeypatch.setitem(sys.modules, "datasets", package)
    assert "a5ctl fetch --data openai/gsm8k --to DIR" in refused("--data", "gsm8k")
