"""Write a checkpoint anew with the settings in YAML files, as extract_settings.py has written them.

    python utility/overwrite_settings.py --ckpt_pth old.ckpt --settings_dir settings --new_ckpt_pth new.ckpt

Sections without a file stay as they are, and so does everything else. What has changed is printed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # a script: what Python put first is this folder, and the import name is above it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from s3prl.utility import checkpoint_settings
from s3prl.utility.arguments import Parser
from s3prl.utility.checkpoint_settings import SECTIONS
from s3prl.utility.config import load_yaml
from s3prl.utility.differences import MISSING, differences, told
from s3prl.utility.errors import UserError, command
from s3prl.utility.files import write_atomically


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Write the new checkpoint, and print the fields that differ."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--ckpt_pth", type=Path, required=True, metavar="FILE", help="the checkpoint")
    add("--settings_dir", type=Path, required=True, metavar="FOLDER", help="with args.yaml, config.yaml, ...")
    add("--new_ckpt_pth", type=Path, required=True, metavar="FILE", help="the new checkpoint")
    add("--trust_checkpoint", action="store_true", help="also run the code that a full pickle holds")
    options = parser.parse_args(argv)
    state, settings = checkpoint_settings.read(options.ckpt_pth, options.trust_checkpoint)
    files = {name: options.settings_dir / f"{name}.yaml" for name in SECTIONS}
    found = {name: load_yaml(path, expand=False) for name, path in files.items() if path.is_file()}
    if not found:
        names = ", ".join(path.name for path in files.values())
        raise UserError(f"--settings_dir {options.settings_dir} has none of {names}.")
    changes = differences({name: settings.get(name) for name in found}, found)
    for name, section in found.items():
        key = checkpoint_settings.key_of(state, name)
        kept = isinstance(state.get(key), argparse.Namespace)  # as the public S3PRL has it and needs it
        state[key] = (
            argparse.Namespace(**{str(field): one for field, one in section.items()}) if kept else section
        )
    options.new_ckpt_pth.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.new_ckpt_pth, lambda file: torch.save(state, file))
    print(f"{options.ckpt_pth} -> {options.new_ckpt_pth}")
    for field, (before, now) in changes.items():
        shown = ["nothing" if value is MISSING else told(value) for value in (before, now)]
        print(f"  {field}: {shown[0]} -> {shown[1]}")
    if not changes:
        print("  no setting has changed")


if __name__ == "__main__":
    sys.exit(main())
