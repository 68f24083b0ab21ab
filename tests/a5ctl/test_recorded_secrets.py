"""Secrets are planted wherever a run could pick them up; afterwards they are found nowhere."""

import json
import sqlite3
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from core import provenance
from core.provenance import git_state
from core.registry.codec import decompress_text
from tests.a5ctl.conftest import House
from tests.core.test_provenance import repository

VARIABLES = {
    "HF_TOKEN": "planted-1-hub",
    "A5CTL_API_KEY": "planted-2-key",
    "VLLM_Secret_x": "planted-3-any-case",
    "A5CTL_PASSWORD": "planted-4-password",
    "HF_ENDPOINT": "https://ada:planted-5@hub.example/x?token=planted-6",
}
ARGUMENTS = [
    *("a5ctl", "run", "sft", "--hub-token", "planted-7", "--hub-token=planted-8"),
    *("TOKEN=planted-9", "https://ada:planted-10@host/x", "--max-tokens", "12"),
    *("--registry", "postgresql+psycopg://ada:planted-11@db/runs?password=planted-12"),
]
NOTE = "see https://ada:planted-13@host/wiki and api_key=planted-14"
DIFF = """
API_KEY = "planted-15"
REMOTE = "https://ada:planted-16@host/repository.git"
os.environ["HF_TOKEN"] = "planted-17"
"""
PROBLEM = (
    "no answer from postgresql+psycopg://ada:planted-18@db/x with password=planted-19 "
    "and key planted-2-key"
)


@pytest.fixture
def planted(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A workspace with one run that trained a little, then failed, with secrets all around it."""
    from trainers.sft import SFT

    package = repository(tmp_path / "code")
    (package / "__init__.py").write_text(DIFF)
    monkeypatch.setattr(provenance, "git_state", lambda _: git_state(package))
    monkeypatch.setattr(sys, "argv", ARGUMENTS)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "sft.toml"
    config.write_text(f'note = "{NOTE}"\ntags = ["token=planted-20"]\n')
    update = SFT.update

    def failing(self: SFT, step: int) -> dict[str, float]:
        if step == 3:
            raise RuntimeError(PROBLEM)
        return update(self, step)

    monkeypatch.setattr(SFT, "update", failing)
    result = house.run("run", "sft", *house.small, "--config", config, "--name", "planted", "-q")
    assert result.exit_code == 1, result.output
    return house


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of everything below a folder, decompressed as far as it is compressed."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        yield str(path), raw.decode("utf-8", "replace")
        if path.suffix == ".zst":
            yield str(path), zstandard.decompress(raw).decode("utf-8", "replace")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path}:{name}", archive.read(name).decode("utf-8", "replace")


def rows(database: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of every value in a database; compressed texts as they were."""
    with sqlite3.connect(database) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes):
                        if value[:1] in (b"\x00", b"\x01"):
                            yield table, decompress_text(value)
                    else:
                        yield table, str(value)


@pytest.mark.slow
def test_planted_secrets_are_found_nowhere_and_the_rest_is_recorded(
    planted: House, tmp_path: Path
) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    for form in ("json", "csv"):
        written = planted.run("export", "planted", "--format", form, "--out", exports / form)
        assert written.exit_code == 0, written.output
    shown = planted.run("show", "planted", "--json").stdout
    places = [*contents(planted.home), *contents(exports), *rows(planted.home / "registry.db")]
    assert {Path(place).name for place, _ in places} >= {
        "registry.db", "journal.jsonl", "config.toml", "log.txt", "run", "event",
    }  # fmt: skip
    found = [place for place, text in [*places, ("show", shown)] if "planted-" in text]
    assert found == []
    assert len(list(exports.rglob("*"))) >= 2

    report = json.loads(shown)
    recorded = report["provenance"]
    assert recorded["environment"]["TOKENIZERS_PARALLELISM"] == "false"
    assert recorded["environment"]["HF_ENDPOINT"] == "https://***@hub.example/x?token=***"
    assert recorded["argv"][3:6] == ["--hub-token", "***", "--hub-token=***"]
    assert recorded["argv"][8:10] == ["--max-tokens", "12"]
    assert '+API_KEY = "***"' in recorded["git"]["diff"]
    assert "no answer from postgresql+psycopg://***@db/x" in report["exit_reason"]
