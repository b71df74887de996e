"""Our commands as a user types them: the scripts of a clone, or those that `pip install` puts on the path."""

import importlib.util
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from s3prl.utility.paths import ROOT


class Command(NamedTuple):
    """A command: `python SCRIPT` in a clone, `s3prl NAME` where the wheel is installed."""

    script: str
    does: str
    module: str  # whose `main(arguments)` it is
    arguments: tuple[str, ...] = ()  # that stand before those of the user


COMMANDS = {
    "train": Command(
        "run_downstream.py -m train", "train a task on an upstream", "s3prl.run_downstream", ("-m", "train")
    ),
    "evaluate": Command(
        "run_downstream.py -m evaluate",
        "evaluate a checkpoint on a split",
        "s3prl.run_downstream",
        ("-m", "evaluate"),
    ),
    "inference": Command(
        "run_downstream.py -m inference",
        "apply a checkpoint to recordings",
        "s3prl.run_downstream",
        ("-m", "inference"),
    ),
    "pretrain": Command("run_pretrain.py", "pre-train an upstream on recordings", "s3prl.run_pretrain"),
    "extract": Command(
        "-m s3prl.upstream.extract", "write features of recordings to disk", "s3prl.upstream.extract"
    ),
    "list": Command("-m s3prl.upstream.list", "list upstreams and their checkpoints", "s3prl.upstream.list"),
    "check": Command(
        "-m s3prl.upstream.check", "does an upstream keep its promises?", "s3prl.upstream.check"
    ),
    "cache": Command(
        "-m s3prl.upstream.cache", "show, check or clear a cache of features", "s3prl.upstream.cache.__main__"
    ),
    "score": Command(
        "-m s3prl.downstream.common.metrics",
        "score the output of any system: DER, EER, TWV",
        "s3prl.downstream.common.metrics.__main__",
    ),
    "results": Command(
        "-m s3prl.utility.show_results", "show the metrics of a run", "s3prl.utility.show_results"
    ),
    "significance": Command(
        "-m s3prl.utility.run_sig_test",
        "test whether two runs differ significantly",
        "s3prl.utility.run_sig_test",
    ),
    "weights": Command(
        "-m s3prl.utility.visualize_weight",
        "show the layer weights that a run has learned",
        "s3prl.utility.visualize_weight",
    ),
    "visualize": Command(
        "-m s3prl.upstream.visualize",
        "draw the spectrogram and the hidden states of recordings",
        "s3prl.upstream.visualize",
    ),
    "lnsr": Command(
        "-m s3prl.upstream.observe_lnsr",
        "measure how much noise reaches every layer",
        "s3prl.upstream.observe_lnsr",
    ),
    "convert": Command(
        "-m s3prl.upstream.fix_ckpt",
        "convert an old checkpoint to today's format",
        "s3prl.upstream.fix_ckpt",
    ),
    "corpora": Command(
        "preprocess/make_mini_corpora.py", "make miniature corpora", "s3prl.preprocess.make_mini_corpora"
    ),
    "lengths": Command(
        "preprocess/generate_len_for_bucket.py",
        "write tables of audio lengths",
        "s3prl.preprocess.generate_len_for_bucket",
    ),
    "preprocess_any": Command(
        "preprocess/preprocess_any.py",
        "write features of any recordings, for training on them",
        "s3prl.preprocess.preprocess_any",
    ),
    "preprocess_libri": Command(
        "preprocess/preprocess_libri.py",
        "write features of LibriSpeech",
        "s3prl.preprocess.preprocess_libri",
    ),
    "preprocess_timit": Command(
        "preprocess/preprocess_timit.py", "write features of TIMIT", "s3prl.preprocess.preprocess_timit"
    ),
    "preprocess_alignment": Command(
        "preprocess/preprocess_alignment.py",
        "write the phones of frames from TextGrids",
        "s3prl.preprocess.preprocess_alignment",
    ),
    "ark2libri": Command(
        "preprocess/ark2libri.py", "features of LibriSpeech from Kaldi", "s3prl.preprocess.ark2libri"
    ),
    "ark2timit": Command(
        "preprocess/ark2timit.py", "features of TIMIT from Kaldi", "s3prl.preprocess.ark2timit"
    ),
    "ark2voxceleb": Command(
        "preprocess/ark2voxceleb.py", "features of VoxCeleb from Kaldi", "s3prl.preprocess.ark2voxceleb"
    ),
    "timit2ark": Command(
        "preprocess/timit2ark.py", "features of TIMIT for Kaldi", "s3prl.preprocess.timit2ark"
    ),
    "cross_validation": Command(
        "downstream/emotion/cross_validation.py",
        "train the five folds of emotion recognition, and average them",
        "s3prl.downstream.emotion.cross_validation",
    ),
    "checkpoints": Command(
        "downstream/sv_voxceleb1/evaluate_checkpoints.py",
        "evaluate every checkpoint of a speaker verification run",
        "s3prl.downstream.sv_voxceleb1.evaluate_checkpoints",
    ),
    "snips": Command(
        "preprocess/prepare_snips.py",
        "prepare Audio SNIPS for slot filling",
        "s3prl.preprocess.prepare_snips",
    ),
    "diarization": Command(
        "preprocess/prepare_diarization.py",
        "prepare data folders for diarization",
        "s3prl.preprocess.prepare_diarization",
    ),
}


def in_clone() -> bool:
    """Whether this code lies in a clone, not in an installed package."""
    return (ROOT / "s3prl" / "__init__.py").is_file()


def command_line(name: str) -> str:
    """How to start the command `name`, for messages: `python run_downstream.py -m train` or `s3prl train`."""
    return f"python {COMMANDS[name].script}" if in_clone() else f"s3prl {name}"


def start(name: str, argv: Sequence[str]) -> int:
    """Run the command `name` with these arguments; returns its exit code."""
    command = COMMANDS[name]
    return importlib.import_module(command.module).main([*command.arguments, *argv])


def launched(name: str) -> list[str]:
    """The command `name` for a launcher that takes the place of `python`, such as torchrun."""
    command = COMMANDS[name]
    program = [str(ROOT / command.script)] if in_clone() else ["-m", command.module]
    return [*program, *command.arguments]


def localized(text: str) -> str:
    """A text that names commands of a clone, with those of an installed package where this is one."""
    if in_clone():
        return text
    for name, command in COMMANDS.items():
        text = text.replace(f"python {command.script}", f"s3prl {name}")
        if not command.script.startswith("-m "):  # behind another launcher, such as torchrun
            text = text.replace(command.script, f"-m s3prl {name}")
    text = re.sub(r"-r requirements-(\w+)\.txt", r"'s3prl[\1]'", text)
    return text.replace("./run_while.sh", "run_while.sh")  # the wheel puts it on the path


def tensorboard_command(folder: Path) -> str | None:
    """What shows a run's curves in TensorBoard; None where that, which is optional, is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    return f"tensorboard --logdir {shlex.quote(str(folder))}"
