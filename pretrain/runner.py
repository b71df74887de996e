"""Pre-training of an upstream model: a job of the training loop, whatever the method."""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from s3prl import hub
from s3prl.training.job import Job, Records
from s3prl.training.loop import Training
from s3prl.training.plan import Shard
from s3prl.training.report import MetricLogger
from s3prl.training.sampling import check_train_loader, updates_per_epoch
from s3prl.training.settings import RunnerSettings
from s3prl.utility import processes
from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.bad_audio import BadAudioList, ReadRecordings
from s3prl.utility.commands import command_line
from s3prl.utility.config import expand_variables
from s3prl.utility.device import use_threads_for
from s3prl.utility.errors import UserError
from s3prl.utility.files import states_in
from s3prl.utility.paths import find_path
from s3prl.utility.recordings import BadAudio, read

from .config_check import settings_and_epochs
from .methods import folder_name, import_expert

PATHS = {"libri_root", "file_path"}  # of pretrain_expert.datarc


class Runner(Job):
    """Train one method of pre-training, through the doors of pretrain/README.md."""

    data_section = "config.pretrain_expert"

    def __init__(
        self,
        args: argparse.Namespace,
        config: dict[str, Any],
        checkpoint: dict[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        """
        Args:
            args: the command line's arguments.
            config: the sections SECTIONS; `${NAME}` may stand unexpanded in values.
            checkpoint: where weights come from, if anywhere.
            resume: whether training continues the checkpoint's run, or only starts from its weights.

        Raises:
            UserError: a wrong field of the config, missing data, or weights that do not fit.
        """
        self.args, self.config = args, config
        self.checkpoint, self.resume = checkpoint, resume
        expanded = expand_variables(config)
        self.optimizer, self.scheduler = expanded.get("optimizer"), expanded.get("scheduler")
        self.seed, self.device, self.expdir = args.seed, torch.device(args.device), Path(args.expdir)
        self.verbose = args.verbose
        self.bad_audio = BadAudioList(self.expdir)
        self.expert = self._build_expert(expanded)
        self.trained = self.models = dict(self.expert.parts)
        self._loader = self.expert.get_train_dataloader()
        check_train_loader(self._loader)
        self.settings = _settings(expanded.get("runner"), self._loader)
        dataset = self._loader.dataset
        reader, shortest = getattr(dataset, "read", read), getattr(dataset, "shortest", 1)
        self.prepare = ReadRecordings(args.bad_audio, reader, shortest)
        use_threads_for(self.device.type)
        self._training: Training | None = None
        self._latest: Any = ()

    def _build_expert(self, config: Mapping[str, Any]) -> Any:
        kind = import_expert(self.args.upstream)
        datarc = dict((config.get("pretrain_expert") or {}).get("datarc") or {})
        for name in PATHS & datarc.keys():
            if isinstance(datarc[name], str):  # relative to where the run was started first
                datarc[name] = str(find_path(datarc[name], getattr(self.args, "launch_dir", None)))
        model_config = config.get("upstream_config") or {}
        expert = kind(datarc, model_config, device=str(self.device), multi_gpu=False)
        if self.checkpoint is not None:
            expert.load_model(self.checkpoint)
        return expert.to(self.device)

    @property
    def prefix(self) -> str:
        """Of the tags in TensorBoard."""
        return f"{Path(self.args.upstream).name}/{self.settings.train_dataloader}-"

    def loader(self, split: str) -> DataLoader:
        """The batches of the training set."""
        return self._loader

    def encode(self, batch: Any) -> Any:
        """The features of a batch, on the device."""
        self._latest = batch
        with torch.no_grad():
            return self.expert.encode(batch)

    def loss(self, split: str, encoded: Any, records: Records, batch_id: int | None = None) -> Tensor:
        """The method's loss of a batch."""
        step = 0 if self._training is None else self._training.learners[0].head.step
        loss, _ = self.expert(encoded, records=records, global_step=step + 1, log_step=self.settings.log_step)
        return loss

    def report(
        self,
        split: str,
        records: Records,
        logger: MetricLogger,
        step: int,
        batch_ids: Sequence[int],
        total_batches: int | None,
    ) -> list[str]:
        """The method's own records, and spectrograms of the latest batch."""
        self.expert.log_records(records=records, logger=logger, prefix=self.prefix, global_step=step)
        return []

    def describe(self, loader: DataLoader) -> list[str]:
        """A line on the training set."""
        dataset = loader.dataset
        if not hasattr(dataset, "seconds"):
            return []
        dropped = f", {dataset.dropped} left out for their length" if dataset.dropped else ""
        hours, noun = dataset.seconds / 3600, getattr(dataset, "noun", "utterances")
        crop = f", of each at most {dataset.crop / SAMPLE_RATE:.1f} s" if dataset.crop else ""
        return [f"[Data] {len(dataset)} {noun}{crop}: {hours:.2f} hours in an epoch{dropped}"]

    def describe_latest(self) -> str:
        """How many utterances the latest batch had, and how long the longest was."""
        if not (isinstance(self._latest, list) and self._latest and isinstance(self._latest[0], Tensor)):
            return "a batch of the method's own"
        longest = max(len(each) for each in self._latest)
        length = f"{longest / SAMPLE_RATE:.1f} s" if self._latest[0].dim() == 1 else f"{longest} frames"
        return f"{len(self._latest)} utterances of up to {length}"

    def note_dropped(self, notes: Sequence[BadAudio]) -> None:
        """List unreadable recordings in the experiment folder."""
        self.bad_audio.add(notes)

    def report_dropped(self, split: str, notes: Sequence[BadAudio]) -> None:
        """Say how many recordings were left out, and where they are listed."""
        self.bad_audio.tell(split, notes)

    def advice(self) -> list[str]:
        """The command that tries the trained model on a task."""
        latest = next(iter(states_in(self.expdir)), None)
        entry = f"{folder_name(self.args.upstream)}_local"
        if latest is None or entry not in hub.options():
            return []
        command = f"{command_line('train')} -u {entry} -k {shlex.quote(str(latest))}"
        return [f"Use it: {command} -d TASK -n NAME"]

    def settings_to_save(self) -> dict[str, Any]:
        """Arguments, config and what the method adds, such as the configuration of the model."""
        states = {"Args": vars(self.args), "Config": dict(self.config)}
        return self.expert.add_state_to_save(states)

    def train(self) -> None:
        """Train from the start, or from where the checkpoint stopped, to `total_steps`."""
        state = self.checkpoint if self.resume else None
        self._training = Training(self, state, str(self.args.init_ckpt))
        self._training.run()


def _settings(section: Mapping[str, Any] | None, loader: DataLoader) -> RunnerSettings:
    """The section `runner`, its `n_epochs` turned into `total_steps`."""
    settings, epochs = settings_and_epochs(section)
    if not epochs:
        return settings
    shard = Shard(processes.world_size(), processes.rank(), settings.gradient_accumulate_steps)
    updates = updates_per_epoch(loader, shard)
    if updates is None:
        raise UserError("config.runner.n_epochs: the length of this data set is not known. Use total_steps.")
    return replace(settings, total_steps=epochs * updates)
