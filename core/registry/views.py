"""What is read instead of tables: the views, as `docs/schema.md` describes them.

Migrations make them; a test compares their columns with these.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """What a row of it stands for, and its columns."""

    meaning: str
    columns: tuple[str, ...]


VIEWS = {
    "response": View(
        "A row for each response: `answer` with what `verdict_set` says of it.",
        (
            *("key", "evaluation", "run", "step", "problem", "sample", "finish", "tokens"),
            *("think_tokens", "answer_position", "closed", "unparseable", "flags", "text"),
            *("token_ids", "logprobs", "batch", "verdict_set"),
        ),
    ),
    "grade": View(
        "A row for each response, grader and version: `verdict` with what was extracted.",
        ("response", "grader", "version", "formatted", "right", "failure", "extracted", "newest"),
    ),
}
