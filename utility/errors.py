"""Mistakes a user can mend, told apart from bugs."""


class UserError(Exception):
    """A mistake the user can mend.

    The message says what happened, where (file, field or option) and what to do next. The command
    line prints it alone, without a traceback, and exits with code 2.
    """
