"""A registry on a PostgreSQL server: its address, connections to it, and what its errors mean."""

import re
from typing import TYPE_CHECKING, Any

from core.errors import UserError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_SCHEME = re.compile(r"postgres(?:ql)?(?:\+(?P<driver>\w+))?://")
# a sign that has a meaning of its own in a URL makes what belongs to the password ambiguous
_ADDRESS = re.compile(r"(?P<login>[^@/?]*@)?(?P<host>[^@/?]*)(?P<database>/[^@?]*)?(\?[^@]*)?")
_CONNECT_TIMEOUT_S = 10
_LOST_NETWORK_S = 30
_IDLE_TRANSACTION_S = 120
_STATE_ROLE = ("28000", "28P01")
_STATE_NO_DATABASE = "3D000"
_STATE_NO_TABLE = ("42P01", "3F000")
_STATE_NOT_ALLOWED = "42501"
_STATE_LOCKED = "55P03"
_STATE_READ_ONLY = "25006"
_STATE_FULL = "53100"
_STATES_OF_THE_CONNECTION = ("08", "53", "57", "58")


def is_server(url: str) -> bool:
    """Whether a URL names a PostgreSQL database."""
    return _SCHEME.match(url) is not None


def masked(url: str) -> str:
    """A URL for messages: where the database is, and never who logs in or with what."""
    scheme, sign, rest = url.partition("://")
    found = _ADDRESS.fullmatch(rest)
    if not sign or found is None:
        return f"{scheme.partition('+')[0]}://..." if sign else url
    return f"{scheme.partition('+')[0]}://{found['host']}{found['database'] or ''}"


def server_engine(url: str, patience: float) -> "Engine":
    """Connections to a server, opened when they are needed.

    Args:
        url: Of the database.
        patience: Seconds to wait for a lock that somebody else holds.

    Raises:
        UserError: a package is missing, or the URL is not usable.
    """
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import ArgumentError

    try:
        engine = create_engine(
            _with_driver(url),
            # a connection that was open when the server was restarted is replaced before its use
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=_connect_arguments(patience),
        )
    except ImportError as error:
        raise UserError(
            f"registry {masked(url)} needs the package psycopg; install a5ctl[postgresql], or give "
            "an SQLite file with --registry"
        ) from error
    except (ArgumentError, ValueError):
        raise UserError(_unusable(url)) from None

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        from core.registry.server_text import keep_every_text

        keep_every_text(connection)

    return engine


def _with_driver(url: str) -> str:
    """The URL with the driver that this program speaks to.

    Raises:
        UserError: it names another driver, or parts of it can be read in two ways.
    """
    found, rest = _SCHEME.match(url), url.partition("://")[2]
    if found is not None and found["driver"] not in (None, "psycopg"):
        raise UserError(
            f"registry {masked(url)} names the driver {found['driver']}; a5ctl speaks to servers "
            "through psycopg 3: write postgresql://"
        )
    if _ADDRESS.fullmatch(rest) is None:
        raise UserError(_unusable(url))
    return f"postgresql+psycopg://{rest}"


def _unusable(url: str) -> str:
    return (
        f"registry {masked(url)} is not a usable URL; write postgresql://USER:PASSWORD@HOST:PORT/"
        "DATABASE, with %40 %2F %3A %3F for the signs @ / : ? in a password"
    )


def _connect_arguments(patience: float) -> dict[str, Any]:
    """A server that is gone, or a network, is noticed; and a client that is gone, by the server."""
    settings = {
        "lock_timeout": round(1000 * patience),
        "idle_in_transaction_session_timeout": 1000 * _IDLE_TRANSACTION_S,
        "tcp_keepalives_idle": _LOST_NETWORK_S,
        "timezone": "UTC",
        "extra_float_digits": 1,
    }
    return {
        "application_name": "a5ctl",
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "keepalives_idle": _LOST_NETWORK_S,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 1000 * _LOST_NETWORK_S,
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
    }


def refuses_the_row(error: BaseException) -> bool:
    """Whether a statement failed because of its values, so that trying again is no use.

    Args:
        error: What SQLAlchemy raised.
    """
    from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

    if isinstance(error, ProgrammingError):
        return _state(error.orig) not in (*_STATE_NO_TABLE, _STATE_NOT_ALLOWED)
    return isinstance(error, IntegrityError | DataError)


def explained(error: BaseException, label: str) -> str:
    """Why a server cannot be used, as one sentence.

    Args:
        error: What the driver raised.
        label: The registry, for messages.
    """
    state, reason = _state(error), " ".join(str(error).split())
    if state in _STATE_ROLE or "authentication failed" in reason or "no password" in reason:
        return (
            f"the server of registry {label} refuses the login; check user and password of its URL"
        )
    if state == _STATE_NO_DATABASE or re.search(r'database "[^"]*" does not exist', reason):
        return f"there is no database {label}; make it with createdb, or name another one"
    if state in _STATE_NO_TABLE:
        return f"registry {label} has lost its tables; bring them back with: a5ctl registry migrate"
    if state == _STATE_NOT_ALLOWED:
        return f"registry {label} does not allow this login to do that ({_first(reason)})"
    if state == _STATE_LOCKED:
        return f"registry {label} is locked by another program; stop it or try again"
    if state == _STATE_READ_ONLY:
        return f"registry {label} is read-only; name the server that takes writes"
    if state == _STATE_FULL:
        return f"registry {label} cannot grow: the server's disk is full; free some space"
    if state is not None and not state.startswith(_STATES_OF_THE_CONNECTION):
        return f"registry {label} cannot do that ({_first(reason)})"
    return (
        f"registry {label} cannot be reached ({_first(reason)}); start its server or check the "
        "network, or choose another registry with --registry"
    )


def _state(error: object) -> str | None:
    state = getattr(error, "sqlstate", None)
    return None if state is None else str(state)


def _first(reason: str) -> str:
    """The part of a message that says what happened, without the driver's guesses."""
    text = reason.rpartition(" failed: ")[2] if " failed: " in reason else reason
    for end in (
        " Is the server running",
        " DETAIL:",
        " CONTEXT:",
        " LINE 1:",
        " LINE 2:",
        " Multiple",
    ):
        text = text.partition(end)[0]
    return text[:200]
