"""The program as a tree of commands, and what the tests give to each of them."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
_ASSUMED = frozenset({"--help"})


@cache
def program() -> Any:
    """The whole program as one command."""
    from typer.main import get_command

    from a5ctl.app import app

    return get_command(app)


@cache
def commands() -> Mapping[tuple[str, ...], Any]:
    """Every command by the words that call it."""
    return dict(_below(program(), ()))


def _below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _below(child, (*path, name))


def options(command: Any) -> dict[str, tuple[str, ...]]:
    """Names of each option by the first of them; of a switch both ways."""
    return {
        max(p.opts, key=len): (*p.opts, *p.secondary_opts)
        for p in command.params
        if p.param_type_name == "option" and not _ASSUMED & set(p.opts)
    }


@dataclass(slots=True)
class Scope:
    """One function or constant of a test module.

    Attributes:
        said: Strings in it, in the order of the source.
        lists: The same by the call, list or tuple that they stand in.
        named: Names that it uses: others of the module, fixtures, attributes.
    """

    said: list[str] = field(default_factory=list)
    lists: list[list[str]] = field(default_factory=list)
    named: set[str] = field(default_factory=set)


@cache
def tried() -> Mapping[tuple[str, ...], frozenset[str]]:
    """Per command the words that stand in tests which run it, as far as the source shows."""
    known = commands()
    shared = _scopes(Path(__file__).with_name("conftest.py"))
    found: dict[tuple[str, ...], set[str]] = {path: set() for path in known}
    for module in sorted(TESTS.rglob("*.py")):
        scopes = {**shared, **_scopes(module)}
        for name in scopes:
            reached = _reach(scopes, name)
            words = {word for scope in reached for text in scope.said for word in _words(text)}
            for path in _run_by(reached, known):
                found[path] |= words
    return {path: frozenset(words) for path, words in found.items()}


def _words(text: str) -> list[str]:
    return [text, *(word.partition("=")[0] for word in text.split())]


def _run_by(scopes: list[Scope], known: Mapping[tuple[str, ...], Any]) -> set[tuple[str, ...]]:
    lists = [words for scope in scopes for words in scope.lists]
    pairs = {tuple(words[n : n + 2]) for words in lists for n in range(len(words))}
    single = {word for words in lists for word in words}
    found = {path for path in known if path in pairs or (len(path) == 1 and path[0] in single)}
    if "registry" in single:  # its tests put that word in front themselves
        found |= {path for path in known if path[0] == "registry" and path[1] in single}
    if "export" in single:
        found.add(("export", "runs"))  # what export means without a word
    return found


def _reach(scopes: Mapping[str, Scope], name: str) -> list[Scope]:
    """A scope and all of the module that it uses."""
    seen, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        if current in scopes and current not in seen:
            seen.add(current)
            waiting += scopes[current].named
    return [scopes[one] for one in seen]


def _scopes(module: Path) -> dict[str, Scope]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found: dict[str, Scope] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {part.name: _scope(part) for part in node.body if _is_function(part)}
        elif _is_function(node):
            found[node.name] = _scope(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {t.id: _scope(node) for t in targets if isinstance(t, ast.Name)}
    return found


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef)


def _scope(root: ast.AST) -> Scope:
    scope = Scope()
    for node in ast.walk(root):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            scope.said.append(node.value)
        elif isinstance(node, ast.Name):
            scope.named.add(node.id)
        elif isinstance(node, ast.Attribute):
            scope.named.add(node.attr)
        elif isinstance(node, ast.arg):
            scope.named.add(node.arg)
        parts = node.args if isinstance(node, ast.Call) else getattr(node, "elts", None)
        if isinstance(parts, list):
            scope.lists.append(_strings(parts))
    return scope


def _strings(parts: list[Any]) -> list[str]:
    """The strings of an argument list; starred tuples count as written out."""
    found = []
    for part in parts:
        inner = part.value if isinstance(part, ast.Starred) else part
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            found += inner.value.split() if inner.value.startswith("a5ctl ") else [inner.value]
        elif isinstance(inner, ast.Tuple | ast.List):
            found += _strings(inner.elts)
    return found
