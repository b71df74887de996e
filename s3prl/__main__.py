"""The command `s3prl` (in a clone also `python -m s3prl`): every tool of the toolkit by one short name."""

import sys
from collections.abc import Sequence

from s3prl import __version__
from s3prl.utility.commands import COMMANDS, in_clone, start
from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError, command

EXAMPLES = (
    "train -u fbank -d example -n hello",
    "train -u hubert -d asr -n my_run",
    "evaluate -t test-clean -e result/downstream/my_run/dev-best.ckpt",
    "inference -t speech.wav -e result/downstream/my_run/dev-best.ckpt",
    "pretrain -u tera -n my_tera",
    "extract -u hubert --input recordings --output features",
    "list wav2vec",
)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names with the arguments behind it; returns its exit code."""
    name, *arguments = [*(sys.argv[1:] if argv is None else argv)] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name in ("-V", "--version"):
        print(f"s3prl {__version__}")
        return 0
    if name not in COMMANDS:
        raise UserError(
            f"There is no command '{name}'.{nearest(name, COMMANDS)} Commands: {', '.join(COMMANDS)}. "
            f"For example: {_program()} {EXAMPLES[0]}"
        )
    return start(name, arguments)


def usage() -> str:
    """What `s3prl --help` prints."""
    program, widest = _program(), max(map(len, COMMANDS))
    return "\n".join(
        [
            f"usage: {program} COMMAND ...",
            "",
            "Self-supervised speech models, and tasks to measure them.",
            "",
            "commands:",
            *(f"  {name:{widest}}  {chosen.does}" for name, chosen in COMMANDS.items()),
            "",
            "examples:",
            *(f"  {program} {example}" for example in EXAMPLES),
            "",
            f"`{program} COMMAND --help` explains a command, `{program} --version` tells the version.",
        ]
    )


def _program() -> str:
    return "python -m s3prl" if in_clone() else "s3prl"


if __name__ == "__main__":
    sys.exit(main())
