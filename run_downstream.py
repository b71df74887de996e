"""Train or evaluate any downstream task on top of any upstream model.

python run_downstream.py -m train -u fbank -d asr -n my_run
python run_downstream.py -m evaluate -t test-clean -e result/downstream/my_run/dev-best.ckpt
torchrun --nproc_per_node 4 run_downstream.py -a -m train -u fbank -d asr -n my_run
"""

import argparse
import sys
import textwrap

from s3prl.downstream import experiment
from s3prl.training.launch import exit_code
from s3prl.upstream.tools.options import add_cache_options, add_variants
from s3prl.utility.arguments import (
    Parser,
    add_care_options,
    add_log_options,
    add_process_options,
    add_start_options,
    parse_typed,
)
from s3prl.utility.commands import command_line, in_clone, localized

EXAMPLES = """\
examples:
  a run that needs no data              python run_downstream.py -m train -u fbank -d example -n hello
  speech recognition                    python run_downstream.py -m train -u fbank -d asr -n my_run
  its word error rate                   python run_downstream.py -m evaluate -t test-clean -e result/downstream/my_run/dev-best.ckpt
  continue where it stopped             python run_downstream.py -m train -e result/downstream/my_run
  survive crashes                       ./run_while.sh python run_downstream.py -m train -a -u fbank -d asr -n my_run
  four GPUs                             torchrun --nproc_per_node 4 run_downstream.py -m train -u fbank -d asr -n my_run
  three learning rates in one pass      python run_downstream.py -m train -u fbank -d asr -n my_sweep --sweep_lr 1e-3,1e-4,1e-5
  change settings                       ... -o "config.optimizer.lr=1e-3,,config.runner.total_steps=1000"
"""  # noqa: E501


def build_parser() -> argparse.ArgumentParser:
    """All command line options; listing upstreams and tasks imports no model."""
    from s3prl import hub

    parser = Parser(
        prog=None if in_clone() else "s3prl train|evaluate|inference",
        description="Train or evaluate a downstream task on top of an upstream model.",
        epilog=f"{localized(EXAMPLES)}\ntasks (-d): {', '.join(experiment.tasks())}\n\n"
        f"upstreams (-u; `{command_line('list')}` tells more, `NAME_local -k FILE` takes your own "
        "checkpoint):\n"
        f"{textwrap.fill(', '.join(hub.options(True)), 110, break_on_hyphens=False)}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_experiment_options(parser.add_argument_group("experiment"))
    _add_upstream_options(parser.add_argument_group("upstream"))
    _add_machine_options(parser.add_argument_group("machine"))
    return parser


def _add_experiment_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-m", "--mode", choices=["train", "evaluate", "inference"], default="train", help="(default: train)")
    add("-d", "--downstream", metavar="TASK", help="the task: a folder of downstream/, or the path of one")
    add("-v", "--downstream_variant", metavar="VARIANT", help="for tasks that have some, such as fold1")
    add("-n", "--expname", "--name", metavar="NAME", help="the experiment is result/downstream/NAME")
    add("-p", "--expdir", metavar="FOLDER", help="the experiment's folder itself; wins over -n")
    add("-c", "--config", metavar="YAML", help="(default: downstream/TASK/config.yaml)")
    add_start_options(
        group,
        example="config.optimizer.lr=1e-3,,args.seed=7",
        past_exp="continue or evaluate a checkpoint or folder, with its settings",
    )
    add(
        "-t", "--evaluate_split", nargs="+", metavar="SPLIT", default="test",
        help="the split to evaluate (default: test); with -m inference audio files, or folders of them",
    )  # fmt: skip
    add(
        "--sweep_lr", metavar="RATES",
        help="train one head for each of these learning rates in one pass of the upstream: with -n NAME "
        "--sweep_lr 1e-2,1e-3,1e-4 in NAME/lr1e-2, NAME/lr1e-3, ...; ends with a table that names the best",
    )  # fmt: skip
    add_care_options(group)


def _add_upstream_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-u", "--upstream", metavar="NAME", help="the model: an entry of upstream/*/hubconf.py, or a folder")
    add("-k", "--upstream_ckpt", metavar="PATH|URL|ID", help="its checkpoint, for NAME_local, NAME_url, ...")
    add("-g", "--upstream_model_config", metavar="YAML", help="its configuration, for models that take one")
    add_variants(group)
    add("-f", "--upstream_trainable", action="store_true", help="fine-tune the upstream too")
    add(
        "-s", "--upstream_feature_selection", metavar="KEY", default="hidden_states",
        help="which output to use (default: hidden_states, a learned weighting of all layers)",
    )  # fmt: skip
    add("-l", "--upstream_layer_selection", metavar="LAYER", type=int, help="one layer alone (-1: the last)")
    add("--upstream_feature_normalize", action="store_true", help="layer-normalise layers before weighting")
    add(
        "--hub",
        choices=["torch", "huggingface"],
        default="torch",
        help="where to look -u up (default: torch)",
    )
    add(
        "--upstream_model_name",
        metavar="FILE",
        default="model.pt",
        help="weights file in a Hugging Face repository",
    )
    add("--upstream_revision", metavar="COMMIT", help="the revision of a Hugging Face repository")
    add("--push_to_hf_hub", action="store_true", help="share the trained experiment on the Hugging Face hub")
    add("--hf_hub_org", metavar="NAME", help="in this organisation (default: your own account)")
    add("--cache_dir", metavar="FOLDER", help="for downloaded checkpoints (default: torch.hub's)")


def _add_machine_options(group: argparse._ArgumentGroup) -> None:
    add_process_options(group)
    add_cache_options(group)
    add_log_options(group)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The arguments; `typed` among them tells which options were given, so that none is ignored silently."""
    return parse_typed(build_parser(), argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a mistake that the user can mend)."""
    return exit_code(parse, _run, argv)


def _run(args: argparse.Namespace) -> None:
    from s3prl.downstream.launch import run

    run(args)


if __name__ == "__main__":
    sys.exit(main())
