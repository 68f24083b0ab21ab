"""The one exception that means 'the input is wrong, and here is how to fix it'."""


class UserError(Exception):
    """Bad input from a person: the command line prints it as one sentence and exits with 2.

    The message names the thing that is wrong, the values that are allowed, and the fix.
    """
