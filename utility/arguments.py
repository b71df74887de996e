"""Command lines whose mistakes end in one line with the nearest right word, not in a page of usage."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from s3prl.utility.commands import command_line, localized
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError


class Typed(NamedTuple):
    """An option that the user gave."""

    flag: str
    default: Any  # its value in a run that does not know it


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


def parse_typed(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments; `typed` among them tells which options were given, so that none is ignored silently.

    The parser cannot be used again.

    Raises:
        UserError: see `Parser.parse_args`.
    """
    args = parser.parse_args(argv)
    options = {action.dest: Typed(action.option_strings[0], action.default) for action in parser._actions}
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    args.typed = {name: options[name] for name in vars(parser.parse_args(argv))}
    return args


def add_start_options(group: argparse._ArgumentGroup, example: str, past_exp: str) -> None:
    """Options on what a run starts from: -o, -e, -i and -a.

    Args:
        example: what -o may set.
        past_exp: what -e does.
    """
    add = group.add_argument
    add(
        "-o", "--override", metavar="FIELDS",
        help=f"set any argument or config field, above all else: {example}",
    )  # fmt: skip
    add("-e", "--past_exp", metavar="CKPT", help=past_exp)
    add("-i", "--init_ckpt", metavar="CKPT", help="take only the weights of a checkpoint (or folder)")
    add("-a", "--auto_resume", action="store_true", help="continue if there is a checkpoint, else start")


def add_care_options(group: argparse._ArgumentGroup) -> None:
    """Options on what a run may meet: its seed, files that cannot be read, checkpoints that are code."""
    add = group.add_argument
    add("--seed", type=int, default=1337, help="(default: 1337)")
    add(
        "--bad_audio", choices=["error", "skip"], default="error",
        help="at an unreadable file stop, or skip it and list it in bad_audio.tsv (default: error)",
    )  # fmt: skip
    add("--trust_checkpoint", action="store_true", help="allow full unpickling, which can run any code")


def add_process_options(group: argparse._ArgumentGroup) -> None:
    """Options on the device and on several processes."""
    add = group.add_argument
    add("--device", help="cuda, cuda:1, cpu, ... (default: cuda if there is one, else cpu)")
    add("--backend", default="nccl", help="for several processes (default: nccl; gloo where there is no GPU)")
    add("--local_rank", "--local-rank", type=int, help="filled in by the distributed launcher")


def add_log_options(group: argparse._ArgumentGroup) -> None:
    """Options that help where something goes wrong."""
    add = group.add_argument
    add("--disable_cudnn", action="store_true", help="work around cuDNN errors, slowly")
    add("--verbose", action="store_true", help="print every training log, also without a terminal")
