"""Pre-train an upstream model on recordings without labels.

python run_pretrain.py -u tera -n my_tera
python run_downstream.py -u tera_local -k result/pretrain/my_tera/states-1000000.ckpt -d phone_linear -n x
torchrun --nproc_per_node 4 run_pretrain.py -a -u tera -n my_tera
"""

import argparse
import sys

from s3prl.pretrain import methods
from s3prl.training.launch import exit_code
from s3prl.utility.arguments import (
    Parser,
    add_care_options,
    add_log_options,
    add_process_options,
    add_start_options,
    parse_typed,
)
from s3prl.utility.commands import in_clone, localized

EXAMPLES = """\
examples:
  the method's own configs              python run_pretrain.py -u tera -n my_tera
  minutes on a laptop                   python run_pretrain.py -u tera -n hello -c pretrain/tera/mini_runner.yaml -g pretrain/tera/mini_model.yaml
  what it has learned, on phones        python run_downstream.py -m train -u tera_local -k result/pretrain/my_tera/states-1000000.ckpt -d phone_linear -n my_probe
  continue where it stopped             python run_pretrain.py -e result/pretrain/my_tera
  survive crashes                       ./run_while.sh python run_pretrain.py -a -u tera -n my_tera
  all GPUs of this machine              python run_pretrain.py -u tera -n my_tera --multi_gpu
  GPUs of several machines              torchrun --nnodes 2 --nproc_per_node 4 ... run_pretrain.py -u tera -n my_tera
  begin with the weights of a run       python run_pretrain.py -u tera -n more -i result/pretrain/my_tera/states-1000000.ckpt
  own recordings                        ... -o "config.pretrain_expert.datarc.libri_root='/my/audio',,config.pretrain_expert.datarc.sets=['train']"
  change training and model             ... -o "config.optimizer.lr=1e-3,,config.upstream_config.task.mask_proportion=0.2"
"""  # noqa: E501


def build_parser() -> argparse.ArgumentParser:
    """All command line options; listing methods imports none."""
    known = methods.summaries()
    widest = max(map(len, known), default=0)
    listed = "\n".join(f"  {name:{widest}}  {summary}".rstrip() for name, summary in known.items())
    parser = Parser(
        prog=None if in_clone() else "s3prl pretrain",
        description="Pre-train an upstream model on recordings without labels.",
        epilog=f"{localized(EXAMPLES)}\nmethods (-u; NAME_anything is NAME):\n{listed}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_experiment_options(parser.add_argument_group("experiment"))
    _add_machine_options(parser.add_argument_group("machine"))
    return parser


def _add_experiment_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-u", "--upstream", metavar="METHOD", help="the method: a folder of pretrain/, or the path of one")
    add("-n", "--expname", "--name", metavar="NAME", help="the experiment is result/pretrain/NAME")
    add("-p", "--expdir", metavar="FOLDER", help="the experiment's folder itself; wins over -n")
    add(
        "-c", "--config", metavar="YAML",
        help="data, optimizer and length of the training (default: pretrain/METHOD/config_runner.yaml)",
    )  # fmt: skip
    add(
        "-g", "--upstream_config", metavar="YAML",
        help="the model, its features and its task (default: pretrain/METHOD/config_model.yaml)",
    )  # fmt: skip
    add_start_options(
        group,
        example="config.optimizer.lr=1e-3,,config.upstream_config.task.mask_proportion=0.2",
        past_exp="continue a checkpoint or folder, with its settings",
    )
    add_care_options(group)


def _add_machine_options(group: argparse._ArgumentGroup) -> None:
    add_process_options(group)
    group.add_argument(
        "--multi_gpu", action="store_true", help="train on all GPUs of this machine, a process on each"
    )
    add_log_options(group)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments; `typed` among them tells which options were given, so that none is ignored silently."""
    return parse_typed(build_parser(), argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a mistake that the user can mend)."""
    given = sys.argv[1:] if argv is None else list(argv)

    def run(args: argparse.Namespace) -> None:
        from s3prl.pretrain import launch

        if args.multi_gpu:
            launch.start_on_all_gpus(args, given)
        launch.run(args)

    return exit_code(parse, run, given)


if __name__ == "__main__":
    sys.exit(main())
