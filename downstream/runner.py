"""The loop that trains and evaluates every downstream task on every upstream; it knows neither by name."""

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from s3prl.training import checkpoint as checkpoints
from s3prl.training import report
from s3prl.training.loop import Training
from s3prl.training.randomness import isolated_randomness
from s3prl.training.sampling import Share, check_train_loader, evaluation_stream, training_stream
from s3prl.training.settings import RunnerSettings
from s3prl.upstream.grouping import in_equal_lengths
from s3prl.upstream.interfaces import SAMPLE_RATE
from s3prl.utility import processes
from s3prl.utility.config import expand_variables
from s3prl.utility.device import is_out_of_memory
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_json

from .assembly import build_models, import_expert


class Runner:
    """Train, evaluate or apply one task on one upstream, through the doors of downstream/README.md."""

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
            config: the config's sections; `${NAME}` may stand unexpanded in values.
            checkpoint: where weights come from, if anywhere.
            resume: whether training continues the checkpoint's run, or only starts from its weights.
        """
        self.args, self.config = args, config
        self.expanded = expand_variables(config)
        self.settings = RunnerSettings.from_config(self.expanded.get("runner"))
        self.device = torch.device(args.device)
        self.expdir = Path(args.expdir)
        if checkpoint is None and args.init_ckpt is not None:
            checkpoint = checkpoints.load(args.init_ckpt, args.trust_checkpoint)
        self.checkpoint = checkpoint or {}
        self.resume = resume
        self._check_task()
        self.models = build_models(args, self.expanded, self.checkpoint, self.device)
        self.upstream, self.featurizer, self.downstream = self.models.values()
        self._specaug = self._build_specaug()

    def _check_task(self) -> None:
        """Let the task find mistakes of its config and missing data before any model is built."""
        check = getattr(import_expert(self.args.downstream), "check", None)
        if check is None or self.args.mode == "inference":
            return
        splits = [self.args.evaluate_split]
        if self.args.mode == "train":
            splits = [self.settings.train_dataloader, *self.settings.eval_dataloaders]
        check(self.expanded.get("downstream_expert") or {}, splits)

    def _build_specaug(self) -> nn.Module | None:
        if not self.expanded.get("specaug"):
            return None
        from s3prl.downstream.specaug import SpecAug

        return SpecAug.from_config(self.expanded["specaug"]).to(self.device)

    def features(self, wavs: list[Any], augment: bool = False) -> list[Tensor]:
        """Unpadded [frames, dim] of every wav ([samples] at 16 kHz, array or tensor)."""
        wavs = self._tensors(wavs)
        if self.upstream.training:
            outputs = self._encode(wavs)
        else:
            with torch.no_grad():
                outputs = self._encode(wavs)
        features = [feature.float() for feature in self.featurizer(wavs, outputs)]
        return self._specaug(features) if augment and self._specaug is not None else features

    def _encode(self, wavs: list[Tensor]) -> dict[str, Any]:
        """The upstream's outputs, with --upstream_alone free of padding."""
        if self.args.upstream_alone and getattr(self.upstream, "leaks_padding", True):
            return in_equal_lengths(self.upstream, wavs)
        return self.upstream(wavs)

    def _tensors(self, wavs: list[Any]) -> list[Tensor]:
        return [torch.as_tensor(wav, dtype=torch.float32).to(self.device, non_blocking=True) for wav in wavs]

    def autocast(self) -> AbstractContextManager:
        """The precision that `runner.fp16` or `runner.bf16` asks for."""
        kind = torch.float16 if self.settings.fp16 else torch.bfloat16
        return torch.autocast(self.device.type, kind, enabled=self.settings.fp16 or self.settings.bf16)

    def train(self) -> None:
        """Train from the start, or from where the checkpoint stopped, to `total_steps`.

        An upstream with a method `survey` is handed the training batches instead, and nothing is trained.
        """
        if hasattr(self.upstream, "survey"):
            self.upstream.survey(self._training_wavs())
        else:
            Training(self).run()

    def _training_wavs(self) -> Iterator[list[Tensor]]:
        """The wavs of the batches that training would see, on the device."""
        loader = self.downstream.get_dataloader(self.settings.train_dataloader)
        check_train_loader(loader)
        share = Share(1, 0, self.settings.gradient_accumulate_steps)
        batches = training_stream(loader, self.args.seed, 0, 0, share)
        for _, (wavs, *_) in islice(batches, self.settings.total_steps * share.accumulate):
            yield self._tensors(wavs)

    def evaluate(
        self,
        split: str | None = None,
        logger: report.MetricLogger | None = None,
        global_step: int | None = None,
    ) -> tuple[list[str], dict[str, float]]:
        """Run one split with fixed randomness; the random state of training is left untouched.

        Without arguments it does what `-m evaluate` promises: the split of `-t`, its metrics printed and
        written to `result.json` in the experiment folder.

        Returns:
            Names of checkpoints the task wants saved now, and its metrics.
        """
        alone = logger is None
        if alone and not processes.is_leader():
            return [], {}
        split = split or self.args.evaluate_split
        step = int(self.checkpoint.get("Step", 0)) if global_step is None else global_step
        logger = logger or report.MetricLogger()
        were_training = [model for model in self.models.values() if model.training]
        for model in self.models.values():
            model.eval()
        try:
            with isolated_randomness(self.args.seed), torch.no_grad(), self.autocast():
                names = self._evaluate(split, logger, step)
        finally:
            for model in were_training:
                model.train()
        metrics = logger.take(split)
        if alone:
            self._write_result(split, step, metrics)
        return names, metrics

    def _evaluate(self, split: str, logger: report.MetricLogger, step: int) -> list[str]:
        loader = self.downstream.get_dataloader(split)
        total, batches = evaluation_stream(loader, self.args.seed)
        if total is not None and self.settings.evaluate_ratio < 1:
            total = math.ceil(total * self.settings.evaluate_ratio)
        records, batch_ids = defaultdict(list), []
        bar = tqdm(
            islice(batches, total), total=total, desc=split, dynamic_ncols=True, leave=False,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip
        for batch_id, (wavs, *others) in enumerate(bar):
            try:
                self.downstream(split, self.features(wavs), *others, records=records, batch_id=batch_id)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    seconds = max(len(wav) for wav in wavs) / SAMPLE_RATE
                    raise UserError(
                        f"Out of memory while evaluating {split}, at a batch of {len(wavs)} utterances of "
                        f"up to {seconds:.0f} s. Lower the evaluation batch size (config.downstream_expert)."
                    ) from error
                raise
            batch_ids.append(batch_id)
        if not batch_ids:
            raise UserError(f"The split '{split}' has no utterance to evaluate. Check the config's paths.")
        names = self.downstream.log_records(
            split, records=records, logger=logger, global_step=step, batch_ids=batch_ids,
            total_batch_num=len(batch_ids),
        )  # fmt: skip
        return [str(name) for name in names] if isinstance(names, list) else []

    def _write_result(self, split: str, step: int, metrics: dict[str, float]) -> None:
        source = self.args.init_ckpt
        result = {"split": split, "checkpoint": source, "step": step, "metrics": metrics}
        for name in ("result.json", f"result-{Path(split).name}.json"):
            write_json(self.expdir / name, result)
        print(f"{split} (step {step}, {source or 'untrained'}): {report.format_metrics(metrics)}")
        print(f"[Runner] Written to {self.expdir / 'result.json'}", flush=True)

    def inference(self) -> Any:
        """Apply the task to the one audio file that `-t` names; the task prints and writes what it finds."""
        from s3prl.utility.audio import load

        if not hasattr(self.downstream, "inference"):
            raise UserError(f"The task '{self.args.downstream}' has no inference. Use -m evaluate.")
        path = Path(self.args.evaluate_split)
        for model in self.models.values():
            model.eval()
        with torch.no_grad(), self.autocast():
            return self.downstream.inference(self.features([load(path)]), [path.stem])
