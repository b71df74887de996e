"""Mistakes a user can mend, told apart from bugs."""

import functools
import signal
import sys
from collections.abc import Callable, Sequence


class UserError(Exception):
    """A mistake the user can mend.

    The message says what happened, where (file, field or option) and what to do next. The command
    line prints it alone, without a traceback, and exits with code 2.
    """


class Terminated(Exception):
    """A run that was asked to stop by a signal, and has saved its state."""

    exit_code = 128 + signal.SIGTERM


class DamagedCheckpoint(UserError):
    """A checkpoint file that cannot be read to its end, or another kind of file in its place."""


def command(main: Callable[[Sequence[str] | None], int | None]) -> Callable[..., int]:
    """Decorator of a script's `main(argv)`: gives its exit code, whatever happens to the user.

    2 after a mistake, told in one message; 130 after Ctrl-C, as shells do; else what `main` returns, None
    being 0.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            return main(argv) or 0
        except UserError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nInterrupted.", file=sys.stderr)
            return 130

    return run


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
