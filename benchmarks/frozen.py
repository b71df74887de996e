"""Training on a frozen HuBERT of the base size with random weights: keyword spotting, speech recognition.

A corpus of noise is written in the layout of the real one, so that reading is real too. `prepared` builds
what is compared on it; every variant of ours is a runner, measured by `updates.updates(runner, steps)`.
"""

import contextlib
import io
from argparse import Namespace
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
from peer import Batch, PublicTraining
from upstreams import ROOT, SAMPLE_RATE, hubert_checkpoint, public_module, public_package

LETTERS_PER_SECOND = 14  # LibriSpeech's
KEYWORD_RECORDINGS = 150  # of each word, nearly as many as in the mini corpus
SENTENCES = 64


class Task(NamedTuple):
    """A task of the table."""

    name: str
    roots: dict[str, str]  # fields of its datarc, and folders of the corpus


TASKS = {
    "ks": Task(
        "speech_commands",
        {"speech_commands_root": "SpeechCommands", "speech_commands_test_root": "SpeechCommandsTest"},
    ),
    "asr": Task("asr", {"libri_root": "LibriSpeech", "bucket_file": "len_for_bucket"}),
}


def our_runner(name: str, folder: Path, options: Sequence[str] = ()) -> Any:
    """The runner of a task's mini.yaml as the command line builds it, with the initial weights of seed 0.

    Args:
        folder: what `prepared` has filled.
        options: further ones of the command line, such as a cache.
    """
    from run_downstream import build_parser
    from s3prl.downstream import experiment
    from s3prl.downstream.runner import Runner

    task = TASKS[name]
    changed = [
        *(f"config.downstream_expert.datarc.{field}='{folder / root}'" for field, root in task.roots.items()),
        "config.runner.eval_dataloaders=[]",
    ]
    config = ROOT / "downstream" / task.name / "mini.yaml"
    command = ["-u", "hubert_local", "-k", str(folder / "hubert.pt"), "-d", task.name, "-c", str(config)]
    command += ["-p", str(folder / "run"), "-o", ",,".join(changed), "--device", "cpu", *options]
    threads = torch.get_num_threads()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        plan = experiment.build(build_parser().parse_args(command))
        torch.manual_seed(0)
        runner = Runner(plan.args, plan.config)
    torch.set_num_threads(threads)  # both sides on as many, whatever the runner finds best
    return runner


class Sweep:
    """Runners that train on one pass of loader and upstream, as `--sweep_lr` does, in place of one runner."""

    def __init__(self, runners: Sequence[Any]) -> None:
        self.runners = runners
        self.expdir = runners[0].expdir

    @property
    def settings(self) -> Any:
        """Of all runners."""
        return self.runners[0].settings

    @settings.setter
    def settings(self, settings: Any) -> None:
        for runner in self.runners:
            runner.settings = settings

    def train(self) -> None:
        """Train all."""
        from s3prl.training.learner import Learner
        from s3prl.training.loop import Training

        first, *others = self.runners
        Training(first, beside=[Learner(runner) for runner in others]).run()


def sweep(runner: Any, count: int) -> Sweep:
    """So many heads on the upstream of a runner, itself the first."""
    from s3prl.downstream.runner import Runner

    runners = [runner]
    for number in range(1, count):
        args = Namespace(**{**vars(runner.args), "expdir": f"{runner.expdir}-{number}"})
        Path(args.expdir).mkdir(exist_ok=True)
        threads = torch.get_num_threads()
        with contextlib.redirect_stdout(io.StringIO()):
            runners.append(Runner(args, runner.config, beside=runner))
        torch.set_num_threads(threads)
    return Sweep(runners)


def prepared(name: str, s3prl: Path, folder: Path) -> tuple[Any, PublicTraining]:
    """Our plain runner and the public package's training, on one corpus and with the same weights."""
    random = np.random.default_rng(0)
    {"ks": _keywords, "asr": _sentences}[name](folder, random)
    torch.manual_seed(0)
    with public_package(s3prl):
        torch.save(hubert_checkpoint(), folder / "hubert.pt")
    runner = our_runner(name, folder)
    (folder / "run").mkdir(exist_ok=True)
    with public_package(s3prl), contextlib.redirect_stderr(io.StringIO()):
        upstream = public_module("hubert.expert").UpstreamExpert(str(folder / "hubert.pt"))
        return runner, PublicTraining(runner, upstream)


def batches(runner: Any, count: int) -> list[Batch]:
    """The first batches of a training, read."""
    from s3prl.training.plan import Shard
    from s3prl.training.sampling import training_batches

    loader = runner.loader(runner.settings.train_dataloader)
    stream = training_batches(loader, runner.seed, 0, 0, Shard(), runner.prepare)
    with contextlib.closing(stream):
        return [Batch(*loaded.batch) for loaded in islice(stream, count)]


def _keywords(folder: Path, random: np.random.Generator) -> None:
    """Speech Commands with the ten keywords and one other word, and one background noise."""
    from s3prl.utility.speech_commands import KEYWORDS, NOISES, split_of

    names = (f"{number:08x}_nohash_0.wav" for number in range(10 * KEYWORD_RECORDINGS))
    speakers = list(islice((name for name in names if split_of(name) == "train"), KEYWORD_RECORDINGS))
    root = folder / TASKS["ks"].roots["speech_commands_root"]
    for word in (*KEYWORDS, "bed"):
        for speaker in speakers:
            _write(root / word / speaker, random.uniform(0.9, 1.0), random)
    _write(root / NOISES / "white_noise.wav", 10.0, random)
    (folder / TASKS["ks"].roots["speech_commands_test_root"]).mkdir()  # the peer looks for it


def _sentences(folder: Path, random: np.random.Generator) -> None:
    """LibriSpeech with one chapter of sentences."""
    chapter = folder / TASKS["asr"].roots["libri_root"] / "train-clean-100" / "1" / "1"
    lines = []
    for number in range(SENTENCES):
        name, seconds = f"1-1-{number:04}", random.uniform(2.0, 3.5)
        _write(chapter / f"{name}.flac", seconds, random)
        letters = random.choice(list("ETAOINSHRDLU "), round(seconds * LETTERS_PER_SECOND))
        lines.append(f"{name} {' '.join(''.join(letters).split())}\n")
    (chapter / "1-1.trans.txt").write_text("".join(lines))


def _write(path: Path, seconds: float, random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * random.standard_normal(round(seconds * SAMPLE_RATE)), SAMPLE_RATE)
