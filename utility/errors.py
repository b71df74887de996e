"""Mistakes a user can mend, told apart from bugs."""

import functools
import sys
from collections.abc import Callable, Sequence


class UserError(Exception):
    """A mistake the user can mend.

    The message says what happened, where (file, field or option) and what to do next. The command
    line prints it alone, without a traceback, and exits with code 2.
    """


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
