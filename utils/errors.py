"""Errors that a user can cause and mend."""


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line that names the file or flag, says what is wrong with it, and what to do. Command lines
    print it without a traceback and exit with code 2 (see `utils.cli.run`); library callers catch it as an exception.
    """
