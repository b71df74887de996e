"""Our commands as a user types them: the scripts of a clone, or those that `pip install` puts on the path."""

import importlib.util
import shlex
from pathlib import Path

from s3prl.utility.paths import ROOT

SCRIPTS = {
    "train": "run_downstream.py -m train",
    "evaluate": "run_downstream.py -m evaluate",
    "inference": "run_downstream.py -m inference",
    "extract": "-m s3prl.upstream.extract",
    "check": "-m s3prl.upstream.check",
    "list": "-m s3prl.upstream.list",
    "results": "-m s3prl.utility.show_results",
    "corpora": "preprocess/make_mini_corpora.py",
}


def command_line(name: str) -> str:
    """How to start the command `name`, for messages: `python run_downstream.py -m train` or `s3prl train`."""
    in_clone = (ROOT / "s3prl" / "__init__.py").is_file()
    return f"python {SCRIPTS[name]}" if in_clone else f"s3prl {name}"


def tensorboard_command(folder: Path) -> str | None:
    """What shows a run's curves in TensorBoard; None where that, which is optional, is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    return f"tensorboard --logdir {shlex.quote(str(folder))}"
