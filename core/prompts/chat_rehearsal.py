"""Renders a chat template in a process of its own, which may run out of time or memory.

A template is a program that a stranger wrote. The sandbox keeps it from this machine's files, but
not from a loop without end. `core.prompts.chat` starts this file alone, with no part of the
project on its path: `python -I chat_rehearsal.py`, the template and its values as JSON on standard
input. It ends with 0, or prints why not and ends with 1.
"""

import datetime
import json
import sys
from typing import Any

_MEMORY = 2**30
_SECONDS = 2


def main() -> None:
    """Render once within the limits."""
    given = json.load(sys.stdin)
    _limit()
    try:
        _render(given["template"], given["values"])
    except Exception as error:
        print(f"{type(error).__name__}: {error}"[:500])
        sys.exit(1)


def _limit() -> None:
    if sys.platform == "win32":
        return  # there only the time is limited, by who started this
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _render(template: str, values: dict[str, Any]) -> None:
    from jinja2 import ext, nodes
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(ext.Extension):
        """The tag that transformers knows; what stands in it is rendered as it is."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    room = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    room.filters["tojson"] = lambda value, **options: json.dumps(
        value, **{"ensure_ascii": False, **options}
    )
    room.globals["raise_exception"] = refuse
    room.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    room.from_string(template).render(**values)


if __name__ == "__main__":
    main()
