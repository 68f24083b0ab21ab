"""A PostgreSQL server of the tests' own: made in a temporary folder, gone when they are done."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
_TEMPLATE = "a5ctl_empty"
_ROOM_BYTES = 4 * 2**30
PASSWORD = "s3cret-w0rd"
# nothing here has to outlive a power cut, but what was committed a stop of the server
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "autovacuum": "off",
}


class CannotStartError(Exception):
    """Why there is no server on this machine."""


@dataclass
class Server:
    """A running server.

    Attributes:
        folder: Where its data and its socket are.
        port: On 127.0.0.1, and part of the socket's name.
        account: Number and group of the user that it runs as; None for our own.
    """

    folder: Path
    port: int
    account: tuple[int, int] | None
    bin: Path
    databases: list[str] = field(default_factory=list)

    def url(self, database: str) -> str:
        """Through TCP, with a password."""
        return f"postgresql://a5ctl:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template0") -> str:
        """Make a database; returns its name."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8' OWNER a5ctl")
        self.databases.append(name)
        return name

    def new_registry(self) -> str:
        """A database with today's tables, as a copy of one that was made before; its URL."""
        if _TEMPLATE not in self.databases:
            from core.registry.store import open_registry

            self.sql(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0 ENCODING 'UTF8' OWNER a5ctl")
            open_registry(self.url(_TEMPLATE)).close()
            self.databases.append(_TEMPLATE)
        return self.url(self.new_database(_TEMPLATE))

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the owner of everything."""
        import psycopg

        with psycopg.connect(
            self.url(database).replace("//a5ctl", "//postgres"), autocommit=True
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._control("start", "-w", "-t", "60", "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` is like a crash."""
        self._control("stop", "-w", "-t", "60", "-m", mode)

    def _control(self, *arguments: str) -> None:
        _run([self.bin / "pg_ctl", "-D", self.folder / "data", *arguments], self.account)


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server for as long as the context lasts.

    Raises:
        CannotStartError: there is no PostgreSQL here, or no account that it would run under.
    """
    programs = _find_programs()
    account = _account()
    # short, as the name of a socket has to be
    folder = Path(tempfile.mkdtemp(prefix="a5pg-", dir=_memory()))
    try:
        if account is not None:
            os.chown(folder, *account)
        server = Server(folder, _free_port(), account, programs)
        _make(server)
        server.start()
        try:
            server.sql(f"CREATE ROLE a5ctl LOGIN CREATEDB PASSWORD '{PASSWORD}'")
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(server: Server) -> None:
    words = server.folder / "password"
    words.write_text(PASSWORD)
    words.chmod(0o644)
    data = server.folder / "data"
    made = ["--auth=scram-sha-256", "--username=postgres", f"--pwfile={words}", "--no-sync"]
    made += ["--encoding=UTF8", "--locale=C"]
    command = [server.bin / "initdb", "-D", data, *made]
    try:
        # words in the order of a dictionary, which is not the order that SQLite has
        _run([*command, "--locale-provider=icu", "--icu-locale=en"], server.account)
    except CannotStartError:
        _run(command, server.account)
    settings = {**_SETTINGS, "port": server.port, "unix_socket_directories": server.folder}
    lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(lines)


def _memory() -> str | None:
    """Where files cost no disk, if there is room for them; None for the usual place."""
    place = "/dev/shm"
    roomy = os.path.isdir(place) and os.access(place, os.W_OK)
    return place if roomy and shutil.disk_usage(place).free > _ROOM_BYTES else None


def _find_programs() -> Path:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    for pattern in _PLACES:
        for place in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            if (place / "initdb").exists():
                return place
    raise CannotStartError("PostgreSQL is not installed here (no initdb)")


def _account() -> tuple[int, int] | None:
    """Whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return found.pw_uid, found.pw_gid
    raise CannotStartError("PostgreSQL does not run as root, and there is no account postgres")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(command: list[object], account: tuple[int, int] | None) -> None:
    # a file and no pipe: the server inherits what pg_ctl was given, and would keep a pipe open
    with tempfile.TemporaryFile("w+") as said:
        try:
            done = subprocess.run(
                [str(word) for word in command],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                user=None if account is None else account[0],
                group=None if account is None else account[1],
                extra_groups=None if account is None else [],
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                check=False,
                timeout=120,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotStartError(f"{command[0]} cannot be run: {error}") from error
        if done.returncode != 0:
            said.seek(0)
            last = [line for line in said.read().splitlines() if line.strip()][-1:]
            raise CannotStartError(f"{command[0]} failed: {''.join(last)}")
