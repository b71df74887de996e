"""Phones, characters or slots by CTC, on the corpus of the config: SUPERB's PR and SF (Yang et al., 2021)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from s3prl.utility.errors import UserError
from s3prl.utility.metric import Metric
from s3prl.utility.paths import find_path
from s3prl.utility.typed import check_value, checked_mapping, typed

from ..common import lists
from ..common.dataset import LoaderSettings
from ..common.encoders import EncoderSettings, TextEncoder
from ..common.items import Item
from ..common.sequence import SequenceTask, headline, model_choice
from ..common.task import Records
from .corpora import Corpus, corpus_of

MODEL = "downstream_expert.model"


@dataclass
class Blocks:
    """`downstream_expert` of a config."""

    corpus: dict
    model: dict
    text: dict | None = None  # where the configs of the public S3PRL have it; here: corpus.text
    metric: list[str] = field(default_factory=lambda: ["wer"])  # the first decides
    metric_higher_better: bool | None = None  # known of each metric; may be said
    save_best_on: str = "dev"


@dataclass
class Config:
    """The same, read and checked."""

    corpus: Corpus
    text: EncoderSettings
    modelrc: dict[str, Any]
    zero_infinity: bool
    metrics: list[str]
    headline: Metric


class DownstreamExpert(SequenceTask):
    """What the config says: corpus, symbols, model, metrics."""

    model_place = MODEL

    def __init__(
        self, upstream_dim: int, upstream_rate: int, downstream_expert: dict, **options: Any
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            downstream_expert: the block of that name in the config; libriphone.yaml explains its fields.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        self.config = read_config(downstream_expert, options.get("launch_dir"))
        corpus, self.metric = self.config.corpus, self.config.headline
        self.name, self.symbols, self.metrics = f"ctc-{corpus.name}", corpus.symbols, self.config.metrics
        self.splits = list(corpus.splits if corpus.lists is None else corpus.lists)
        names = ["dev-best.ckpt", f"{self.metric.split}-best.ckpt"]
        self.best_checkpoints = tuple(dict.fromkeys(names))
        loading = LoaderSettings(corpus.batch_size, corpus.eval_batch_size, corpus.num_workers)
        modelrc, zero_infinity = self.config.modelrc, self.config.zero_infinity
        super().__init__(upstream_dim, upstream_rate, loading, modelrc, zero_infinity, **options)

    @staticmethod
    def check(downstream_expert: dict, splits: Iterable[str], launch_dir: str | None = None) -> None:
        """Find mistakes of the config, missing files and words without phones, before any model is built.

        Args:
            splits: those that will be used.

        Raises:
            UserError: the first mistake found.
        """
        config = read_config(downstream_expert, launch_dir)
        model_choice(config.modelrc, MODEL)
        if config.text.vocab_file is not None:
            config.text.from_file(find_path(config.text.vocab_file, launch_dir))
        config.corpus.check(splits)
        config.text.slots(lambda path: find_path(path, launch_dir))

    def make_encoder(self) -> TextEncoder:
        """That of the config; where it names no vocabulary, of the training transcripts."""
        return self.config.text.encoder(
            self.find,
            self.settled,
            lambda: [item.label for item in self.config.corpus.items(self.train_split)],
        )

    def items(self, split: str) -> list[Item]:
        """The utterances of a split of the config, those with the longest text first."""
        return lists.with_lengths(self.config.corpus.items(split), split)

    def length(self, item: Item) -> float:
        """Symbols of the text, by which batches are made where the config asks for it."""
        return len(self.target(item)) if self.config.corpus.bucketing else 0

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Of SequenceTask; those of evaluation are printed, as `test per: 0.05`."""
        found = super().scores(split, records)
        if split != self.train_split:
            for name, value in found.items():
                print(f"{split} {name}: {value}", flush=True)
        return found


def read_config(downstream_expert: dict, launch_dir: str | None = None) -> Config:
    """The blocks of a config, checked.

    Raises:
        UserError: a field is unknown, missing or impossible.
    """
    blocks = typed(Blocks, downstream_expert, "downstream_expert")
    corpus, modelrc = dict(blocks.corpus), dict(blocks.model)
    text = corpus.pop("text", None) or blocks.text
    if text is None:
        raise UserError("downstream_expert.corpus needs the field 'text' (mode, vocab_file).")
    settings = typed(EncoderSettings, checked_mapping(text, "text"), "downstream_expert.corpus.text")
    decided = headline(blocks.metric, blocks.save_best_on, "downstream_expert.metric")
    if blocks.metric_higher_better is decided.lower_is_better:
        wrong, better = blocks.metric_higher_better, "lower" if decided.lower_is_better else "higher"
        raise UserError(
            f"downstream_expert.metric_higher_better is {wrong}, but a {better} {decided.name} is better."
        )
    zero_infinity = check_value(modelrc.pop("zero_infinity", True), bool, f"{MODEL}.zero_infinity")
    found = corpus_of(corpus, launch_dir)
    return Config(found, settings, modelrc, zero_infinity, list(blocks.metric), decided)
