"""A downstream task on an upstream, as a job that the training engine runs; it knows neither by name."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from s3prl.training import checkpoint as checkpoints
from s3prl.training.evaluation import evaluate
from s3prl.training.job import Job, Records
from s3prl.training.loop import Training
from s3prl.training.plan import Shard
from s3prl.training.randomness import isolated_randomness
from s3prl.training.report import MetricLogger, format_metrics
from s3prl.training.sampling import Ready, check_train_loader, training_batches
from s3prl.training.settings import RunnerSettings
from s3prl.upstream.encoding import Encoder
from s3prl.upstream.interfaces import Layers, traits_of
from s3prl.upstream.tools.recordings import named_recordings
from s3prl.utility import processes
from s3prl.utility.bad_audio import BadAudioList
from s3prl.utility.config import expand_variables
from s3prl.utility.device import use_threads_for
from s3prl.utility.errors import DroppedItem, UserError
from s3prl.utility.files import write_json
from s3prl.utility.metric import Metric
from s3prl.utility.recordings import BadAudio, Recording

from . import caching, partial, summary
from .assembly import build_foundation, build_models, import_expert
from .common.partial import PartialResults
from .inputs import Inputs


class Encoded(NamedTuple):
    """A batch behind the upstream."""

    layers: Layers
    others: list[Any]  # what followed the waves


class Runner(Job):
    """Train, evaluate or apply one task on one upstream, through the doors of downstream/README.md."""

    data_section = "config.downstream_expert"

    def __init__(
        self,
        args: argparse.Namespace,
        config: dict[str, Any],
        checkpoint: dict[str, Any] | None = None,
        resume: bool = False,
        results: str | Path | None = None,
        beside: "Runner | None" = None,
    ) -> None:
        """
        Args:
            args: the command line's arguments.
            config: the config's sections; `${NAME}` may stand unexpanded in values.
            checkpoint: where weights come from, if anywhere.
            resume: whether training continues the checkpoint's run, or only starts from its weights.
            results: the folder of result files, None where none can be written; what the task itself writes
                goes to `args.expdir`.
            beside: another runner, whose upstream and inputs are those of this one too.
        """
        self.args, self.config = args, config
        self.expanded = expand_variables(config)
        self.settings = RunnerSettings.from_config(self.expanded.get("runner"))
        self.optimizer, self.scheduler = self.expanded.get("optimizer"), self.expanded.get("scheduler")
        self.seed, self.device, self.expdir = args.seed, torch.device(args.device), Path(args.expdir)
        self.verbose = args.verbose
        if checkpoint is None and args.init_ckpt is not None:
            checkpoint = checkpoints.load(args.init_ckpt, args.trust_checkpoint)
        self.checkpoint = checkpoint or {}
        self.resume = resume
        self.results = None if results is None else Path(results)
        self.bad_audio = BadAudioList(self.results)
        self.recordings: dict[str, Path] = {}  # for inference
        if args.mode == "inference":
            self.recordings = named_recordings(args.evaluate_split)
        if beside is None:
            self._check_task()
        keep_scores = resume or args.mode != "train"
        if beside is None:
            self.foundation = build_foundation(args, self.checkpoint, self.device)
        else:
            self.foundation = beside.foundation
        self.models = build_models(
            args, self.expanded, self.checkpoint, self.device, self.foundation, keep_scores
        )
        self.upstream, self.featurizer, self.downstream = self.models.values()
        numbers = sum(p.numel() for model in self.models.values() for p in model.parameters())
        use_threads_for(self.device.type, numbers)
        self.trained = {
            name: model
            for name, model in self.models.items()
            if name != "Upstream" or args.upstream_trainable
        }
        self.shards_evaluation = getattr(self.downstream, "shards_evaluation", False)
        self._specaug = self._build_specaug()
        self.inputs = self._build_inputs() if beside is None else beside.inputs
        self.prepare = self.inputs.prepare

    def _build_inputs(self) -> Inputs:
        args, encoder = self.args, Encoder(self.upstream, self.device, alone=self.args.upstream_alone)
        augmented = self._specaug is not None
        cache = caching.open_for(
            args, self.settings, encoder, self.featurizer, self.downstream, augmented, self.autocast
        )
        return Inputs(encoder, self.featurizer, cache, args.bad_audio)

    def _check_task(self) -> None:
        """Let the task find mistakes of its config and missing data before any model is built."""
        check = getattr(import_expert(self.args.downstream), "check", None)
        if check is None or self.args.mode == "inference":
            return
        splits = [self.args.evaluate_split]
        if self.args.mode == "train":
            splits = [self.settings.train_dataloader, *self.settings.eval_dataloaders]
        check(self.expanded.get("downstream_expert") or {}, splits, self.args.launch_dir)

    def _build_specaug(self) -> nn.Module | None:
        if self.expanded.get("specaug") is None:  # an empty block is SpecAugment with its defaults
            return None
        from .specaug import SpecAug

        return SpecAug.from_config(self.expanded["specaug"]).to(self.device)

    def encode(self, batch: Any) -> Encoded:
        """The layers of the upstream for the waves of a batch ([samples] at 16 kHz, arrays or tensors)."""
        wavs, *others = batch
        return Encoded(self.inputs.layers(wavs), others)

    def features(self, layers: Layers, augment: bool = False) -> list[Tensor] | Tensor:
        """Unpadded [frames, dim] of every utterance: its layers mixed, then augmented if asked.

        Means over time, of which each utterance has one, are one tensor [batch, 1, dim]. A task that reads
        layers has all of them, [layers, frames, dim].
        """
        if getattr(self.downstream, "reads", "frames") == "layers":
            return [feature.float() for feature in self.featurizer.unmixed(layers)]
        if layers.means:
            return self.featurizer.mix_padded(layers).float()
        features = [feature.float() for feature in self.featurizer.mix(layers)]
        return self._specaug(features) if augment and self._specaug is not None else features

    def loader(self, split: str) -> DataLoader:
        """The batches `(wavs or recordings, *others)` of a split."""
        loader = self.downstream.get_dataloader(split)
        self.inputs.check(split, loader)
        return loader

    def loss(self, split: str, encoded: Encoded, records: Records, batch_id: int | None = None) -> Tensor:
        """The task's loss of a batch."""
        training = batch_id is None
        features = self.features(encoded.layers, augment=training)
        number = {} if training else {"batch_id": batch_id}
        return self.downstream(split, features, *encoded.others, records=records, **number)

    def report(
        self,
        split: str,
        records: Records,
        logger: MetricLogger,
        step: int,
        batch_ids: Sequence[int],
        total_batches: int | None,
    ) -> list[str]:
        """The task's metrics, by its `log_records`; names of checkpoints that it wants saved."""
        names = self.downstream.log_records(
            split, records=records, logger=logger, global_step=step, batch_ids=list(batch_ids),
            total_batch_num=total_batches,
        )  # fmt: skip
        return [str(name) for name in names] if isinstance(names, list) else []

    def describe(self, loader: DataLoader) -> list[str]:
        """Lines on the upstream's output and on how much data there is."""
        splits = self.settings.train_dataloader, loader, self.settings.eval_dataloaders
        sizes = summary.sizes(self.downstream, *splits)
        lines = summary.describe(self.args.upstream, self.featurizer, sizes)
        cache = self.inputs.cache
        if cache is not None and cache.store is not None:
            with isolated_randomness(0):
                evaluated = [self.loader(split) for split in self.settings.eval_dataloaders]
            lines.append(caching.forecast(cache, [loader, *evaluated]))
        return lines

    def get_ready(self, loader: DataLoader) -> None:
        """Compute and hold in memory what the feature cache allows to."""
        self.inputs.get_ready(self.settings, loader, self.loader, self.seed)
        if self.inputs.ready(self.settings.train_dataloader) is not None:  # no upstream in the updates then
            trained = sum(p.numel() for model in self.trained.values() for p in model.parameters())
            use_threads_for(self.device.type, trained)

    def ready(self, split: str) -> Ready | None:
        """The items of a split whose features are in memory."""
        return self.inputs.ready(split)

    def test_split(self) -> str | None:
        """A test set that the task names."""
        return summary.test_split(self.downstream, self.settings.eval_dataloaders)

    def note_dropped(self, notes: Sequence[BadAudio]) -> None:
        """List unreadable recordings in the experiment folder."""
        self.bad_audio.add(notes)

    def report_dropped(self, split: str, notes: Sequence[BadAudio]) -> None:
        """Say how many recordings were left out, and where they are listed."""
        self.bad_audio.tell(split, notes)

    def describe_latest(self) -> str:
        """How many utterances the latest batch had, and how long the longest was."""
        return self.inputs.describe_latest()

    def settings_to_save(self) -> dict[str, Any]:
        """Arguments and config, by which a checkpoint rebuilds the experiment.

        A frozen upstream with weights of a checkpoint (`-i` of a fine-tuned one) belongs to it too.
        """
        saved = {"Args": vars(self.args), "Config": self.config}
        if self.checkpoint.get("Upstream") and "Upstream" not in self.trained:
            saved["Upstream"] = self.upstream.state_dict()
        return saved

    def train(self) -> None:
        """Train from the start, or from where the checkpoint stopped, to `total_steps`.

        An upstream with a statistics pass (`survey`) is handed the training batches instead, and nothing is
        trained.
        """
        survey = traits_of(self.upstream).survey
        if survey is not None:
            survey(self._training_wavs())
            return
        self.write_metric()
        Training(self, *self.start()).run()

    def start(self) -> tuple[dict[str, Any] | None, str]:
        """The checkpoint that training continues, None where it starts anew, and how to name it."""
        return self.checkpoint if self.resume else None, str(self.args.init_ckpt)

    def write_metric(self) -> None:
        """Keep what the task is judged by in the experiment folder, if it says so."""
        metric = getattr(self.downstream, "metric", None)
        if isinstance(metric, Metric) and processes.is_leader():
            metric.write(self.expdir)

    def _training_wavs(self) -> Iterator[list[Tensor]]:
        """The wavs of the batches that training would see, on the device."""
        loader = self.loader(self.settings.train_dataloader)
        check_train_loader(loader)
        shard = Shard(accumulate=self.settings.gradient_accumulate_steps)
        batches = training_batches(loader, self.seed, 0, 0, shard, self.prepare)
        with closing(batches):
            for loaded in islice(batches, self.settings.total_steps * shard.accumulate):
                self.note_dropped(loaded.notes)
                if loaded.batch is not None:
                    yield self.inputs.encoder.tensors(loaded.batch[0])

    def evaluate(self, split: str | None = None) -> dict[str, float]:
        """Run one split, by default that of `-t`; its metrics are printed, then written to `result.json`.

        Returns:
            The metrics by name; an empty dict except on the first process.
        """
        split = split or self.args.evaluate_split
        kept = self._begin_evaluation(split)
        step, logger = int(self.checkpoint.get("Step", 0)), MetricLogger()
        evaluate(self, split, logger, step)
        if not processes.is_leader():
            return {}
        metrics = logger.take(split)
        source = self.args.init_ckpt
        result = {"split": split, "checkpoint": source, "step": step, "metrics": metrics}
        print(f"{split} (step {step}, {source or 'untrained'}): {format_metrics(metrics)}", flush=True)
        if self.results is not None:
            for name in ("result.json", f"result-{Path(split).name}.json"):
                write_json(self.results / name, result)
            print(f"[Runner] Written to {self.results / 'result.json'}", flush=True)
        if kept is not None:
            kept.remove()
        return metrics

    def _begin_evaluation(self, split: str) -> PartialResults | None:
        """Let a task that keeps what it has computed find what an earlier try has left."""
        begin = getattr(self.downstream, "begin_evaluation", None)
        if begin is None:
            return None
        kept = None
        computes = traits_of(self.upstream).source is None  # else there is little to keep
        if getattr(self.downstream, "keeps_partial_results", False) and self.results is not None and computes:
            with processes.leader_first():
                folder = partial.folder_for(
                    self.results, split, self.args, self.expanded, self.models, self.inputs.encoder,
                    self.autocast,
                )  # fmt: skip
            kept = None if folder is None else PartialResults(folder)
        begin(split, kept)
        processes.wait()  # nobody adds before all have looked
        return kept

    def inference(self) -> list[Any]:
        """Apply the task to the recordings that `-t` names, one by one; it prints and writes what it finds.

        Returns:
            What the task has returned for each recording that could be read.
        """
        if not hasattr(self.downstream, "inference"):
            raise UserError(f"The task '{self.args.downstream}' has no inference. Use -m evaluate.")
        for model in self.models.values():
            model.eval()
        load = getattr(self.downstream, "load_audio", None)  # public tasks may read in their own way
        results, unreadable = [], []
        with torch.no_grad(), self.autocast():
            for name, path in self.recordings.items():
                try:
                    wav = self.prepare((Recording(path),))[0] if load is None else load(path)
                except DroppedItem as dropped:
                    unreadable.append(dropped.note._replace(utterance=name))
                    continue
                features = self.features(self.encode([[wav]]).layers)
                found = self.downstream.inference(features, [name])
                results += found if isinstance(found, list) else [found]
        self.note_dropped(unreadable)
        self.report_dropped("inference", unreadable)
        return results
