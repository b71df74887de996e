"""Tasks that turn an utterance into a sequence of symbols by CTC, such as characters or phones."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from s3prl.utility.metric import Metric
from s3prl.utility.padding import padded
from s3prl.utility.typed import at_least, typed

from .ark import add_to_ark, write_ark
from .beam_search import BeamSearchDecoder, DecoderOptions
from .characters import CharacterDictionary, words_of
from .ctc import ctc_loss, frames_needed, greedy_decode
from .dataset import LoaderSettings
from .items import Item
from .recognizers import MODELS
from .task import MODELRC, Records, Task, model_settings, record_loss, warn
from .transcripts import LM, error_rates, score_text, score_units, write_texts

TRAIN_SCORING = 10  # one training batch in ten is decoded: a spot check, since decoding waits for the GPU


@dataclass(kw_only=True)
class SequenceSettings(LoaderSettings):
    """The fields of `datarc` that are the same for every corpus."""

    dict_path: str  # the output symbols
    zero_infinity: bool = True  # a target with more symbols than frames has loss 0, not infinity
    decoder_args: dict | None = None  # beam search, see beam_search.py


class SequenceTask(Task):
    """Recognition of text by CTC on characters, judged by word error rate.

    A subclass lists `items` whose labels are transcripts. Parameters have the names of the public S3PRL.
    """

    metric = Metric("wer", lower_is_better=True)

    def __init__(
        self,
        upstream_dim: int,
        upstream_rate: int,
        settings: SequenceSettings,
        modelrc: dict[str, Any],
        **options: Any,
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            modelrc: `project_dim`, `select` and a block under the selected name (see recognizers.py).
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        super().__init__(settings, **options)
        self.settings = settings
        self.dictionary = CharacterDictionary.from_file(self.find(settings.dict_path))
        self.decoder_options = DecoderOptions.from_config(settings.decoder_args, self.launch_dir)
        self._decoder: BeamSearchDecoder | None = None
        self._checked: set[str] = set()  # splits whose characters have been looked at
        self._has_inferred = False
        chosen, block, where = model_choice(modelrc)
        sizes = (chosen.project_dim, len(self.dictionary), upstream_rate)
        self.projector = nn.Linear(upstream_dim, chosen.project_dim)
        self.model = typed(MODELS[chosen.select], block, where, *sizes)

    def target(self, item: Item) -> np.ndarray:
        """The spelling of the transcript: int64 [symbols]."""
        return self.dictionary.encode(item.label)

    def warn_of_unknown_characters(self, split: str, items: list[Item]) -> None:
        """Say once which characters of the transcripts the dictionary lacks, and how many there are."""
        if split in self._checked:
            return
        self._checked.add(split)
        unknown = self.dictionary.unknown_characters(item.label for item in items)
        if unknown:
            most = ", ".join(f"{character} ({count})" for character, count in unknown.most_common(20))
            warn(
                self.name,
                f"{split}: {unknown.total()} characters not in the dictionary become <unk>: {most}.",
            )

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
        losses = ctc_loss(log_probs, lengths, targets, self.dictionary.blank, self.settings.zero_infinity)
        loss = record_loss(records, losses)
        needed = [frames_needed(target) for target in targets]
        records["too_long"].append(sum(n > length for n, length in zip(needed, lengths, strict=True)))
        if not self.training or len(records["loss"]) % TRAIN_SCORING == 1:
            decoded = self._greedy(log_probs, lengths)
            texts = [
                score_units(item.label, self.dictionary.units(numbers), records)
                for item, numbers in zip(items, decoded, strict=True)
            ]
            if not self.training:
                records["name"] += [item.name for item in items]
                records["ref"] += [" ".join(item.label.split()) for item in items]
                records["hyp"] += texts
                if self.decoder_options.uses_language_model:
                    self._beam_search(log_probs, lengths, items, records)
        return loss

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Error rates in percent: wer, cer, uer; lm-wer and lm-cer after beam search."""
        if too_long := sum(records["too_long"]):
            effect = "does not count" if self.settings.zero_infinity else "is infinite"
            message = f"{too_long} transcripts need more frames than there are; their loss {effect}."
            warn(self.name, f"{split}: {message}")
        return error_rates(records)

    def write_predictions(self, split: str, records: Records) -> None:
        """`<split>-{noLM,LM}-{hyp,ref}.ark`; see transcripts.py."""
        write_texts(self.expdir, split, records)

    @torch.no_grad()
    def inference(self, features: list[Tensor], filenames: list[str]) -> list[str]:
        """The text of each recording, printed and written to `<expdir>/inference.ark`; later calls add."""
        log_probs, lengths = self.recognize(features)
        if self.decoder_options.uses_language_model:
            rows = zip(log_probs, lengths, strict=True)
            texts = [self.decoder.decode(row[:length])[0][0] for row, length in rows]
        else:
            decoded = self._greedy(log_probs, lengths)
            texts = [" ".join(words_of(self.dictionary.units(numbers))) for numbers in decoded]
        hypotheses = dict(zip(filenames, texts, strict=True))
        for name, text in hypotheses.items():
            print(f"{name} {text}")
        write = add_to_ark if self._has_inferred else write_ark
        write(self.expdir / "inference.ark", hypotheses)
        self._has_inferred = True
        return texts

    def recognize(self, features: list[Tensor]) -> tuple[Tensor, list[int]]:
        """List of [frames, upstream_dim] -> log probabilities [batch, frames', symbols] and their lengths."""
        lengths = [len(feature) for feature in features]
        projected = self.projector(padded(features))
        scores, lengths = self.model(projected, lengths)
        return scores.float().log_softmax(dim=-1), lengths  # in float32 also under autocast

    @property
    def decoder(self) -> BeamSearchDecoder:
        """The beam search, built at first use: reading a large language model takes a while."""
        if self._decoder is None:
            self._decoder = BeamSearchDecoder(self.decoder_options, self.dictionary)
        return self._decoder

    def _greedy(self, log_probs: Tensor, lengths: list[int]) -> list[list[int]]:
        return greedy_decode(log_probs, lengths, self.dictionary.blank)

    def _beam_search(
        self, log_probs: Tensor, lengths: list[int], items: list[Item], records: Records
    ) -> None:
        for row, length, item in zip(log_probs, lengths, items, strict=True):
            hypotheses = self.decoder.decode(row[:length])
            best_text, _ = hypotheses[0]
            score_text(item.label, best_text, records, prefix=LM)
            records[f"{LM}hyp"].append(best_text)
            records[f"{LM}nbest"].append([list(pair) for pair in hypotheses])


@dataclass
class ModelSettings:
    """`modelrc`, but for the blocks of its models."""

    project_dim: Annotated[int, at_least(1)]
    select: Literal[tuple(MODELS)]


def model_choice(modelrc: dict[str, Any]) -> tuple[ModelSettings, dict, str]:
    """The settings, the block under the selected name, and its place in the config, all checked.

    Raises:
        UserError: a field is unknown, missing or impossible.
    """
    settings = model_settings(ModelSettings, modelrc, MODELS)
    block, place = modelrc.get(settings.select) or {}, f"{MODELRC}.{settings.select}"
    with torch.device("meta"):  # without memory or time: only for the model's own checks of the values
        typed(MODELS[settings.select], block, place, 1, 1, 1)
    return settings, block, place
