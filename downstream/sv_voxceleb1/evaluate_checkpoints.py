"""Evaluate every checkpoint of a speaker verification run, each once, and print the table of their EERs.

python downstream/sv_voxceleb1/evaluate_checkpoints.py result/downstream/NAME            # what there is now
python downstream/sv_voxceleb1/evaluate_checkpoints.py result/downstream/NAME --watch    # until training ends
python downstream/sv_voxceleb1/evaluate_checkpoints.py result/downstream/NAME --report   # the table alone

The result of states-<step>.ckpt is kept in the folder states-<step> beside it, and stays when the checkpoint
is deleted. Several processes, such as one for each GPU, divide the checkpoints among them. The table, whose
last row has the lowest EER, is written to report.txt.
"""

import argparse
import importlib
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, TextIO

if not __package__:  # a script: what Python put first is this folder, and the import name is two above it
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from s3prl.utility.arguments import command_parser
from s3prl.utility.commands import COMMANDS, command_line
from s3prl.utility.errors import DamagedCheckpoint, UserError, command
from s3prl.utility.files import numbered_states, write_atomically, write_json
from s3prl.utility.results import JSONL, aligned, best_of

LOG, REPORT = "log.txt", "report.txt"
TEST = "test"
PASSED_ON = ("override", "device", "cache", "bad_audio")  # to run_downstream.py

pause = time.sleep


class Result(NamedTuple):
    """The evaluation of a checkpoint."""

    step: int
    eer: float  # a fraction
    min_dcf: float


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate what is left to evaluate, then print and write the tables; 1 where a checkpoint is damaged."""
    options = _parse(arguments)
    folders = [Path(folder) for folder in options.expdirs]
    for folder in folders:
        if not folder.is_dir() and not options.watch:
            raise UserError(
                f"{folder} is not a folder. Name that of a training, such as result/downstream/NAME."
            )
    damaged: set[Path] = set()
    while not options.report:
        is_trained = all(map(_is_trained, folders))  # asked first: the last checkpoint is evaluated too
        damaged = {path for folder in folders for path in evaluate_left(folder, options)}
        if is_trained or not options.watch:
            break
        print(f"[ASV] Waiting for the next checkpoint, looking every {options.interval:g} s", flush=True)
        pause(options.interval)
    for folder in folders:
        if options.report or next(_results(folder, options.split), None) is not None:
            report(folder, options.split)
        else:
            print(f"[ASV] {folder} has no checkpoint to evaluate yet.", flush=True)
    return 1 if damaged else 0


def evaluate_left(folder: Path, options: argparse.Namespace) -> set[Path]:
    """Evaluate the checkpoints of a run that have not been evaluated, the earliest first.

    Returns:
        Those that cannot be read, such as one that is being copied.

    Raises:
        UserError: an evaluation fails for another reason, which all would fail for.
    """
    damaged = set()
    for step, path in reversed(numbered_states(folder)):
        if step < options.min_step or step % options.every:
            continue
        try:
            _evaluate_once(step, path, options)
        except FileNotFoundError:
            print(f"[ASV] {path} has been deleted meanwhile (max_keep).", flush=True)
        except DamagedCheckpoint as error:
            print(f"[ASV] {error}. It is passed over.", file=sys.stderr, flush=True)
            damaged.add(path)
    return damaged


def report(folder: Path, split: str) -> None:
    """Print the table of a run's checkpoints, and write it to report.txt there.

    Raises:
        UserError: none has been evaluated.
    """
    results = sorted(_results(folder, split), key=lambda result: (-result.eer, result.step))
    if not results:
        raise UserError(
            f"No checkpoint of {folder} has been evaluated on {split} yet. Do it with "
            f"`{command_line('checkpoints')} {folder}{'' if split == TEST else f' --split {split}'}`."
        )
    best = best_of(folder)
    chosen = None if best is None else best.step
    rows = [["", "step", "EER", "minDCF"]]
    for result in results:
        mark = f"best on {best.metric.split}" if result.step == chosen else ""
        rows.append([mark, str(result.step), f"{result.eer:.6f}", f"{result.min_dcf:.4f}"])
    text = f"{folder}, {split}:\n{_on_the_choice(folder, split, results)}{aligned(rows, 1)}\n"
    print(text, end="", flush=True)
    write_atomically(folder / REPORT, lambda file: file.write(text.encode()))


def _on_the_choice(folder: Path, split: str, results: Sequence[Result]) -> str:
    """A line on the checkpoint that is best on the development set."""
    best = best_of(folder)
    if best is None:
        return "No checkpoint is chosen: training has not evaluated a development set (eval_dataloaders).\n"
    score = f"{best.metric.name} {best.score:.6f} on {best.metric.split}"
    name = f"dev-best.ckpt is that of step {best.step}, with {score}"
    if any(result.step == best.step for result in results):
        return f"{name}.\n"
    return (
        f"{name}, and not in the table. Evaluate it: {command_line('evaluate')} -t {split} "
        f"-e {folder / 'dev-best.ckpt'}\n"
    )


def _results(folder: Path, split: str) -> Iterator[Result]:
    """The results of a run's checkpoints; those of a run that had the folder before are passed over."""
    for path in map(_kept, folder.glob("states-*/"), repeat(split)):
        found, checkpoint = _read(path), path.parent.with_suffix(".ckpt")
        if found.get("split") != split or path.parent.name != f"states-{found.get('step')}":
            continue
        if checkpoint.exists():
            is_own = found.get("checkpoint") == _digest(checkpoint)
        else:
            is_own = found.get("run") == _run_of(folder)
        if is_own:
            yield Result(found["step"], found["metrics"]["EER"], found["metrics"]["minDCF"])


def _run_of(folder: Path) -> str:
    """What tells a training from another one in the same folder: the first line of its metrics."""
    try:
        with (folder / JSONL).open(encoding="utf-8", errors="replace") as file:
            return file.readline()
    except OSError:
        return ""


def _evaluate_once(step: int, path: Path, options: argparse.Namespace) -> None:
    folder = path.with_suffix("")
    about = {"step": step, "split": options.split, "override": options.override, "checkpoint": _digest(path)}
    kept = _kept(folder, options.split)
    if _is_done(kept, about):
        return
    from s3prl.training.expdir import claimed
    from s3prl.utility.safe_load import load

    with ExitStack() as stack:
        try:
            stack.enter_context(claimed(folder / ".evaluation", patience=0))
        except UserError:
            print(f"[ASV] {path} is being evaluated by another process.", flush=True)
            return
        if _is_done(kept, about):  # by the other process, just now
            return
        if not path.is_file():
            raise FileNotFoundError(path)
        found = load(path).get("Step")
        if found != step:
            raise UserError(f"{path} is the checkpoint of step {found}. Rename it to states-{found}.ckpt.")
        print(f"[ASV] {path}", flush=True)
        metrics = _evaluate(path, folder, options)
        if not path.exists() or _digest(path) == about["checkpoint"]:
            write_json(kept, {**about, "run": _run_of(path.parent), "metrics": metrics})


def _evaluate(path: Path, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """The metrics of a checkpoint; what its evaluation prints goes to log.txt too."""
    run = importlib.import_module(COMMANDS["evaluate"].module).main
    argv = ["-m", "evaluate", "-t", options.split, "-e", str(path), "-p", str(folder)]
    for name in PASSED_ON:
        if (value := getattr(options, name)) is not None:
            argv += [f"--{name}", value]
    with _copied_to(folder / LOG):
        code = run(argv)
        if code == 0:
            metrics = _read(folder / f"result-{options.split}.json")["metrics"]
            if "EER" not in metrics:
                raise UserError(f"{path} is not of speaker verification: {options.split} has no EER.")
            # The word that scripts for the public S3PRL of 2021 search for
            print(f"{options.split}-ERR: {metrics['EER']}", flush=True)
            return metrics
    if code == 130:
        raise KeyboardInterrupt
    if not path.exists():
        raise FileNotFoundError(path)
    raise UserError(f"The evaluation of {path} has failed, see above. The same command goes on from there.")


class _Both:
    """A text stream that writes to two."""

    def __init__(self, one: TextIO, other: TextIO) -> None:
        self._one, self._other = one, other

    def write(self, text: str) -> int:
        self._other.write(text)
        return self._one.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._one, name)


@contextmanager
def _copied_to(path: Path) -> Iterator[None]:
    """What is printed inside also goes to a file."""
    with path.open("w", encoding="utf-8") as file, redirect_stdout(_Both(sys.stdout, file)):
        yield


def _kept(folder: Path, split: str) -> Path:
    """The file, in the folder of a checkpoint, that keeps its result on a split."""
    return folder / f"evaluated-{split}.json"


def _is_done(kept: Path, about: dict[str, Any]) -> bool:
    """Whether this very checkpoint has been evaluated, in this way."""
    found = _read(kept)
    return all(name in found and found[name] == value for name, value in about.items())


def _read(path: Path) -> dict[str, Any]:
    """A JSON file; nothing where it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _digest(path: Path) -> str:
    """Of the content of a file, read again only where it has changed."""
    status = path.stat()
    return _digest_of(path, status.st_size, status.st_mtime_ns)


@cache
def _digest_of(path: Path, size: int, changed: int) -> str:
    import xxhash

    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _is_trained(folder: Path) -> bool:
    """Whether the latest checkpoint of a run is its last one."""
    for step, path in numbered_states(folder)[:1]:
        try:
            return step >= _total_steps(path, path.stat().st_mtime_ns)
        except (FileNotFoundError, UserError):
            return False
    return False


@cache
def _total_steps(path: Path, changed: int) -> float:
    from s3prl.utility.safe_load import load

    runner = (load(path).get("Config") or {}).get("runner") or {}
    return float(runner.get("total_steps") or "inf")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_parser("checkpoints", __doc__)
    add = parser.add_argument
    add("expdirs", nargs="+", metavar="FOLDER", help="of a training, such as result/downstream/NAME")
    add("--watch", action="store_true", help="go on with new checkpoints until training has ended")
    add("--interval", type=float, default=60.0, metavar="SECONDS", help="between two looks (default: 60)")
    add("--report", action="store_true", help="evaluate nothing, only make the table of what there is")
    add("--min_step", "--min-step", type=int, default=0, metavar="STEP", help="leave earlier checkpoints out")
    add("--every", type=int, default=1, metavar="STEPS", help="only multiples of it (SUPERB's ten: 20000)")
    add("--split", default=TEST, help=f"(default: {TEST})")
    add("--corpus", metavar="FOLDER", help="where VoxCeleb1 is, if not where the training found it")
    add("-o", "--override", metavar="FIELDS", help="as in run_downstream.py")
    for name in PASSED_ON[1:]:
        add(f"--{name}", metavar=name.upper(), help="as in run_downstream.py")
    options = parser.parse_args(arguments)
    if options.every < 1:
        raise UserError(f"--every must be 1 or more, not {options.every}.")
    if not 0 < options.interval < math.inf:
        raise UserError(f"--interval must be a number of seconds above 0, not {options.interval:g}.")
    if options.split == "train":
        raise UserError("--split train: there are trials of dev and test only.")
    if options.corpus is not None:
        own = f"config.downstream_expert.datarc.file_path={str(Path(options.corpus).absolute())!r}"
        options.override = own if options.override is None else f"{own},,{options.override}"
    return options


if __name__ == "__main__":
    sys.exit(main())
