"""Tasks that turn an utterance into a sequence of symbols by CTC, such as characters or phones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from s3prl.utility.metric import Metric
from s3prl.utility.padding import padded
from s3prl.utility.typed import at_least, choice, typed

from .ark import write_ark
from .ctc import ctc_loss, frames_needed, greedy_decode
from .dataset import LoaderSettings
from .encoders import TextEncoder
from .items import Item
from .metrics import slots as slot_metrics
from .metrics import text as text_metrics
from .recognizers import MODELS
from .task import MODELRC, Records, Task, model_settings, record_loss, warn

TRAIN_SCORING = 10  # one training batch in ten is decoded: a spot check, since decoding waits for the GPU
METRICS = {**text_metrics.METRICS, **slot_metrics.METRICS}


class SequenceTask(Task):
    """Recognition of texts by CTC, judged by the first of its metrics.

    A subclass makes an encoder, and lists `items` whose labels are texts for it. Parameters have the names of
    the public S3PRL.

    Attributes:
        metrics: names in METRICS, reported in evaluation and training; see `headline`.
        symbols: what the symbols of a text are, for messages.
        model_place: how to name the block of the model in an error.
    """

    metrics: Sequence[str] = ("wer",)
    metric = Metric("wer", lower_is_better=True)
    symbols = "characters"
    model_place = MODELRC

    def __init__(
        self,
        upstream_dim: int,
        upstream_rate: int,
        loading: LoaderSettings,
        modelrc: dict[str, Any],
        zero_infinity: bool = True,
        **options: Any,
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            loading: how items are put into batches.
            modelrc: `project_dim`, `select` and a block under the selected name (see recognizers.py).
            zero_infinity: whether a target with more symbols than frames has loss 0 instead of infinity.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        super().__init__(loading, **options)
        self.zero_infinity = zero_infinity
        self.encoder = self.make_encoder()
        chosen, block, where = model_choice(modelrc, self.model_place)
        sizes = (chosen.project_dim, len(self.encoder), upstream_rate)
        self.projector = nn.Linear(upstream_dim, chosen.project_dim)
        self.model = typed(MODELS[chosen.select], block, where, *sizes)

    @classmethod
    def check_model(cls, modelrc: dict[str, Any]) -> None:
        """Find mistakes in the block of the model, without building it at its size.

        Raises:
            UserError: a field is unknown, missing or impossible.
        """
        model_choice(modelrc, cls.model_place)

    def make_encoder(self) -> TextEncoder:
        """What turns texts into symbols; called once, when the attributes of Task are there.

        Raises:
            UserError: a file that it needs is missing or damaged.
        """
        raise NotImplementedError(f"{type(self).__name__}.make_encoder() -> TextEncoder")

    def target(self, item: Item) -> np.ndarray:
        """The symbols of the text: int64 [symbols]."""
        return self.encoder.encode(item.label)

    def reference(self, item: Item) -> str:
        """The text that a hypothesis is compared with."""
        return " ".join(item.label.split())

    def check_items(self, split: str, items: list[Item]) -> None:
        """Of Task; also say which symbols of the texts the encoder lacks, and how many there are."""
        super().check_items(split, items)
        unknown = self.encoder.unknown(item.label for item in items)
        if unknown:
            most = ", ".join(f"{symbol} ({count})" for symbol, count in unknown.most_common(20))
            message = f"{unknown.total()} {self.symbols} not in the dictionary become <unk>: {most}."
            warn(self.name, f"{split}: {message}")

    def forward(
        self,
        split: str,
        features: list[Tensor],
        targets: list[np.ndarray],
        items: list[Item],
        records: Records,
        **kwargs: object,
    ) -> Tensor:
        """The CTC loss of a batch, the mean over its utterances; `records` gets what `scores` needs."""
        log_probs, lengths = self.recognize(features)
        losses = ctc_loss(log_probs, lengths, targets, self.encoder.blank, self.zero_infinity)
        loss = record_loss(records, losses)
        needed = [frames_needed(target) for target in targets]
        records["too_long"].append(sum(n > length for n, length in zip(needed, lengths, strict=True)))
        if not self.training or len(records["loss"]) % TRAIN_SCORING == 1:
            self.record_texts(log_probs, lengths, items, records)
        return loss

    def record_texts(
        self, log_probs: Tensor, lengths: list[int], items: list[Item], records: Records
    ) -> None:
        """Record what was said and what was recognised.

        Args:
            log_probs: [batch, frames, symbols].
            lengths: valid frames of each utterance.
        """
        records["name"] += [item.name for item in items]
        records["ref"] += [self.reference(item) for item in items]
        records["hyp"] += [self.encoder.decode(numbers) for numbers in self.greedy(log_probs, lengths)]

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """The metrics, over all utterances that were decoded."""
        self.warn_of_long_targets(split, records)
        return {name: METRICS[name].function(records["ref"], records["hyp"]) for name in self.metrics}

    def warn_of_long_targets(self, split: str, records: Records) -> None:
        """Say how many targets did not fit into their frames."""
        if too_long := sum(records["too_long"]):
            effect = "does not count" if self.zero_infinity else "is infinite"
            message = f"{too_long} transcripts need more frames than there are; their loss {effect}."
            warn(self.name, f"{split}: {message}")

    def write_predictions(self, split: str, records: Records) -> None:
        """`<split>-hyp.ark` and `<split>-ref.ark`, lines `<utterance> <text>` sorted by utterance."""
        for kind in ("hyp", "ref"):
            texts = dict(zip(records["name"], records[kind], strict=True))
            write_ark(self.expdir / f"{split}-{kind}.ark", texts)

    @torch.no_grad()
    def inference(self, features: list[Tensor], filenames: list[str]) -> list[str]:
        """The text of each recording, printed and written to `<expdir>/inference.ark`; later calls add."""
        texts = self.texts(*self.recognize(features))
        self.tell_inferred(filenames, texts)
        return texts

    def texts(self, log_probs: Tensor, lengths: list[int]) -> list[str]:
        """What was recognised: [batch, frames, symbols] -> a text for each utterance."""
        return [self.encoder.decode(numbers) for numbers in self.greedy(log_probs, lengths)]

    def recognize(self, features: list[Tensor]) -> tuple[Tensor, list[int]]:
        """List of [frames, upstream_dim] -> log probabilities [batch, frames', symbols] and their lengths."""
        lengths = [len(feature) for feature in features]
        projected = self.projector(padded(features))
        scores, lengths = self.model(projected, lengths)
        return scores.float().log_softmax(dim=-1), lengths  # in float32 also under autocast

    def greedy(self, log_probs: Tensor, lengths: list[int]) -> list[list[int]]:
        """The best symbols of each utterance, collapsed and without blanks."""
        return greedy_decode(log_probs, lengths, self.encoder.blank)


def headline(names: Sequence[str], split: str, where: str) -> Metric:
    """What a task with these metrics is judged by: the first of them, on `split`.

    Args:
        where: how to name the list in an error.

    Raises:
        UserError: one of them is unknown.
    """
    first, *_ = [choice(name, METRICS, where) for name in names]
    return Metric(first, METRICS[first].lower_is_better, split)


@dataclass
class ModelSettings:
    """`modelrc`, but for the blocks of its models."""

    project_dim: Annotated[int, at_least(1)]
    select: Literal[tuple(MODELS)]


def model_choice(modelrc: dict[str, Any], where: str = MODELRC) -> tuple[ModelSettings, dict, str]:
    """The settings, the block under the selected name, and its place in the config, all checked.

    Raises:
        UserError: a field is unknown, missing or impossible.
    """
    settings = model_settings(ModelSettings, modelrc, MODELS, where)
    block, place = modelrc.get(settings.select) or {}, f"{where}.{settings.select}"
    with torch.device("meta"):  # without memory or time: only for the model's own checks of the values
        typed(MODELS[settings.select], block, place, 1, 1, 1)
    return settings, block, place
