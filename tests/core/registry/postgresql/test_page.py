"""A server is set up and asked as docs/postgresql.md says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.core.registry.postgresql.server import PASSWORD, Server
from tests.docs.account import SERVED, executed_by

LINES = [line.text for line in executed_by(SERVED)]


@pytest.mark.skipif(shutil.which("createdb") is None, reason="PostgreSQL's programs are missing")
def test_the_lines_make_a_registry(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from a5ctl.app import app

    user, database, export = LINES
    known = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres"}
    environment = {**os.environ, **known, "PGPASSWORD": PASSWORD}
    for line in (user, database):
        told = subprocess.run(
            ["sh", "-c", line],
            env=environment,
            input=f"{PASSWORD}\n{PASSWORD}\n",
            text=True,
            capture_output=True,
            check=False,
            start_new_session=True,  # without a terminal the password is read from here
        )
        assert told.returncode == 0, told.stderr
    url = export.partition("=")[2].replace("PASSWORD", PASSWORD)
    url = re.sub(r"@server\b", f"@127.0.0.1:{server.port}", url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A5CTL_REGISTRY", url)
    told = CliRunner().invoke(app, ["ls"])
    assert told.exit_code == 0, told.output
