"""The one exception that means 'the input is wrong, and here is how to fix it'; others in short."""


class UserError(Exception):
    """Bad input from a person: the command line prints it as one sentence and exits with 2.

    The message names the thing that is wrong, the values that are allowed, and the fix.
    """


def first_line(error: BaseException | str, most: int = 200) -> str:
    """What an error says, on one line; its type where it says nothing.

    Args:
        error: The error, or its words.
        most: Characters.
    """
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:most] if lines else type(error).__name__


def typed_line(error: BaseException) -> str:
    """The same behind the error's type, for errors of libraries, whose words may say little."""
    kind, said = type(error).__name__, first_line(error, 160)
    return kind if said == kind else f"{kind}: {said}"
