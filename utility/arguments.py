"""Command lines whose mistakes end in one line with the nearest right word, not in a page of usage."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from s3prl.utility.commands import command_line, localized
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises a UserError at a mistake of the command line."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:
        """The options of a command line.

        Raises:
            UserError: an option does not exist, lacks its value or has a wrong one.
        """
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown(unknown) or f"'{unknown[0]}' belongs to no option.")
        return parsed

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse has it."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise a UserError; where an option is missing, a misspelt one may be the reason."""
        missing = message.startswith("the following arguments are required")
        message = (missing and self._unknown(self._given)) or message
        raise UserError(f"{message}{'' if message[-1] in '.?' else '.'} -h shows all options.")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = list(map(str, action.choices))
            hint = nearest(value, choices).rstrip()
            raise argparse.ArgumentError(action, f"{value} is not one of {', '.join(choices)}.{hint}")

    def _unknown(self, given: Sequence[str]) -> str | None:
        """What to say of the first option in `given` that does not exist; None where all do."""
        known = self._names()
        for argument in given:
            name = argument.split("=")[0]
            if argument == "--":
                break
            if not name.startswith("-") or name == "-" or self._negative_number_matcher.match(name):
                continue
            short = not name.startswith("--") and name[:2] in known
            abbreviated = self.allow_abbrev and any(other.startswith(name) for other in known)
            if name not in known and not short and not abbreviated:
                return f"there is no option {name}.{nearest(name, known)}"
        return None

    def _names(self) -> list[str]:
        """Every option, those of subcommands too."""
        names = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                names += [name for parser in action.choices.values() for name in parser._names()]
        return names


def command_parser(name: str, description: str) -> Parser:
    """The parser of one of our commands: `name` is one of s3prl.utility.commands.COMMANDS.

    Args:
        description: as a clone needs it, such as the module's docstring; line breaks are kept.
    """
    return Parser(
        prog=command_line(name),
        description=localized(description),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
