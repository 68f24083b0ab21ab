"""Takes secrets out of whatever is about to be recorded: names, URLs, arguments, diffs, texts.

A name is secret where it holds TOKEN, KEY, SECRET, PASSWORD or the like, in any case and anywhere.
Counts of tokens (`--max-tokens 256`) are none. What is recorded for years rather loses a harmless
value than keeps a secret one, so the rules err on that side.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"

_ENVIRONMENT = re.compile("TOKEN|KEY|SECRET|PASSW|PWD|CREDENTIAL|AUTH|COOKIE", re.IGNORECASE)
_HARMLESS = ("TOKENIZERS_PARALLELISM", "PWD", "OLDPWD")
_WORDS = r"token(?!iz)|key|secret|passw|pwd|credential|auth(?!or)|cookie"
_STRONG = (
    r"passw|pwd|secret|credential|(?:api|access|private|signing)[_-]?key|"
    r"(?:access|api|auth|bearer|hf|hub|refresh|session)[_-]?token"
)
# bounded, and only from the beginning of a word: a text of any length takes time in proportion
_NAME = rf"(?<![\w.-])(?P<name>[\w.-]{{0,80}}?(?:{_WORDS})[\w.-]{{0,80}})"
_STRONG_NAME = rf"(?<![\w.-])(?P<name>[\w.-]{{0,80}}?(?:{_STRONG})[\w.-]{{0,80}})"
_LITERAL = r"""(?P<quote>\\?(?:"{3}|'{3}|"|'))(?P<value>(?:(?!(?P=quote)).)+)(?P=quote)"""

_LOGIN = re.compile(r"""://(?:[^\s/@:"'<>]{0,400}:[^\s"'<>]{0,400}@|[^\s/?#"'<>]{0,400}@)""")
_BEARER = re.compile(r"(?i)\b(?P<name>bearer|basic)\s+(?P<value>[\w.~+/=-]{8,})")
_SHAPES = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|"
    r"github_pat_\w{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|glpat-[\w-]{16,})"
)
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]{0,30}KEY-----).*?(?:-----END [A-Z ]{0,30}KEY-----|\Z)", re.DOTALL
)
_ASSIGNED = (
    # password = "...", token: str = "...", environ["KEY"] = "..."
    re.compile(
        rf"""(?i){_NAME}\\?["']?\]?(?:\s*:\s*[\w\[\]|. ]{{1,40}}?)?\s*=(?!=)\s*"""
        rf"""[rbfu]{{0,2}}{_LITERAL}"""
    ),
    re.compile(rf"""(?i){_NAME}\\?["']\s*:\s*[rbfu]{{0,2}}{_LITERAL}"""),  # "password": "..."
    re.compile(rf"""(?i){_STRONG_NAME}["']?\s*[:,]\s*[rbfu]{{0,2}}{_LITERAL}"""),
    re.compile(rf"""(?i){_NAME}=(?P<value>[^=\s&"'][^\s&"']*)"""),  # TOKEN=..., ?password=...
    re.compile(rf"""(?i){_STRONG_NAME}\s*[:=]\s*(?P<value>[^\s=&"',;][^\s&"',;]*)"""),
)
_MENTIONED = re.compile(f"(?i){_WORDS}")
_WHOLE_ARGUMENT = re.compile(rf"(?is)^{_NAME}=(?P<value>.+)$")
_OPTION = re.compile(rf"(?i)^{_NAME}$")
_COUNTED = re.compile(r"(?i)tokens($|_)|per_\w*token")
_NUMBER = re.compile(r"[-+]?[\d_,.]+(?:e[-+]?\d+)?|[\[{]?", re.IGNORECASE)
_SETTING = re.compile(
    rf"""(?i)^[-+ ]?\s*(?:export\s+|set\s+)?["']?{_NAME}["']?\s*[:=]\s*(?P<value>[^\s=].*)$"""
)
_PROGRAMS_AND_PROSE = (
    ".py", ".pyi", ".md", ".rst", ".js", ".ts", ".c", ".h", ".cc", ".cpp", ".cu", ".rs", ".go",
)  # fmt: skip
_SHORTEST = 8


def is_secret_name(name: str) -> bool:
    """Whether an environment variable's value must never be recorded."""
    return name not in _HARMLESS and _ENVIRONMENT.search(name) is not None


def mask_text(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Text without logins in URLs, values behind secret names, and known forms of keys.

    Args:
        text: For people: messages, tracebacks, notes, diffs.
        environment: Values of its secret variables are masked wherever they stand; that of this
            process when not given.
    """
    if "://" in text:
        text = _LOGIN.sub(f"://{MASK}@", text)
    if "-----BEGIN" in text:
        text = _PRIVATE_KEY.sub(rf"\1{MASK}", text)
    text = _SHAPES.sub(MASK, text)
    if _MENTIONED.search(text):
        for rule in _ASSIGNED:
            text = rule.sub(_without_value, text)
    text = _BEARER.sub(_without_value, text)
    for value in secret_values(os.environ if environment is None else environment):
        text = text.replace(value, MASK)
    return text


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """Values of secret variables that are long enough to be told from ordinary words.

    Paths are left out: a variable may name the file of a key.
    """
    return [
        value
        for name, value in environment.items()
        if len(value) >= _SHORTEST
        and is_secret_name(name)
        and not value.startswith(("/", "~", "."))
        and not any(char.isspace() for char in value)
    ]


def mask_arguments(argv: Iterable[str]) -> tuple[str, ...]:
    """A command line; the value of `--hub-token VALUE` is masked as that of `TOKEN=VALUE`."""
    masked: list[str] = []
    option: str | None = None
    for argument in argv:
        if option is not None and not argument.startswith("--"):
            masked.append(argument if _is_count(option, argument) else MASK)
            option = None
            continue
        named = _OPTION.match(argument) if argument.startswith("-") else None
        option = named["name"] if named else None
        masked.append(mask_text(_WHOLE_ARGUMENT.sub(_without_value, argument)))
    return tuple(masked)


def mask_diff(diff: str) -> str:
    """A diff; files of settings (`.env`, TOML, YAML) lose every value behind a secret name."""
    lines, settings = [], False
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            settings = not line.lower().endswith(_PROGRAMS_AND_PROSE)
        elif settings and _MENTIONED.search(line):
            line = _SETTING.sub(_without_value, line)
        lines.append(line)
    return mask_text("\n".join(lines))


def mask_tree(tree: Any) -> Any:
    """Nested data with every text in it masked by its content."""
    if isinstance(tree, str):
        return mask_text(tree)
    if isinstance(tree, Mapping):
        return {key: mask_tree(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [mask_tree(value) for value in tree]
    return tree


def _without_value(match: re.Match[str]) -> str:
    value = match["value"]
    if value == "lambda" or _is_count(match["name"], value):
        return match[0]
    start, end = match.span("value")
    return match[0][: start - match.start()] + MASK + match[0][end - match.start() :]


def _is_count(name: str, value: str) -> bool:
    """`max_tokens=256` says how many, and keeps no secret."""
    return bool(_COUNTED.search(name) and _NUMBER.fullmatch(value.strip().rstrip(",;)]}")))
