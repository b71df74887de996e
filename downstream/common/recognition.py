"""Speech recognition by characters, greedily or with a language model, scored in percent."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from s3prl.utility.metric import Metric

from .beam_search import BeamSearchDecoder, DecoderOptions
from .characters import CharacterDictionary
from .dataset import LoaderSettings
from .items import Item
from .sequence import SequenceTask
from .task import Records
from .transcripts import LM, error_rates, score_text, score_units, write_texts


@dataclass(kw_only=True)
class RecognitionSettings(LoaderSettings):
    """The fields of `datarc` that are the same for every corpus."""

    dict_path: str  # the output symbols
    zero_infinity: bool = True  # a target with more symbols than frames has loss 0, not infinity
    decoder_args: dict | None = None  # beam search, see beam_search.py
    lists: dict[str, str] | None = None  # split -> CSV or JSONL with `path` and `text`, not a corpus


class RecognitionTask(SequenceTask):
    """Recognition of transcripts by the characters of a dictionary file, judged by word error rate.

    A subclass lists `items` whose labels are transcripts.
    """

    metric = Metric("wer", lower_is_better=True)

    def __init__(
        self,
        upstream_dim: int,
        upstream_rate: int,
        settings: RecognitionSettings,
        modelrc: dict[str, Any],
        **options: Any,
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            modelrc, options: see SequenceTask.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        self.settings = settings
        super().__init__(upstream_dim, upstream_rate, settings, modelrc, settings.zero_infinity, **options)
        self.decoder_options = DecoderOptions.from_config(settings.decoder_args, self.launch_dir)
        self._decoder: BeamSearchDecoder | None = None

    def make_encoder(self) -> CharacterDictionary:
        """The dictionary of the config."""
        return CharacterDictionary.from_file(self.find(self.settings.dict_path))

    @property
    def dictionary(self) -> CharacterDictionary:
        """The output symbols."""
        return self.encoder

    def record_texts(
        self, log_probs: Tensor, lengths: list[int], items: list[Item], records: Records
    ) -> None:
        """Record edits; in evaluation also texts, and those of beam search."""
        texts = [
            score_units(item.label, self.dictionary.units(numbers), records)
            for item, numbers in zip(items, self.greedy(log_probs, lengths), strict=True)
        ]
        if not self.training:
            records["name"] += [item.name for item in items]
            records["ref"] += [self.reference(item) for item in items]
            records["hyp"] += texts
            if self.decoder_options.uses_language_model:
                self._beam_search(log_probs, lengths, items, records)

    def scores(self, split: str, records: Records) -> dict[str, float]:
        """Error rates in percent: wer, cer, uer; lm-wer and lm-cer after beam search."""
        self.warn_of_long_targets(split, records)
        return error_rates(records)

    def write_predictions(self, split: str, records: Records) -> None:
        """`<split>-{noLM,LM}-{hyp,ref}.ark`; see transcripts.py."""
        write_texts(self.expdir, split, records)

    def texts(self, log_probs: Tensor, lengths: list[int]) -> list[str]:
        """What was recognised, by beam search where the config asks for it."""
        if not self.decoder_options.uses_language_model:
            return super().texts(log_probs, lengths)
        rows = zip(log_probs, lengths, strict=True)
        return [self.decoder.decode(row[:length])[0][0] for row, length in rows]

    @property
    def decoder(self) -> BeamSearchDecoder:
        """The beam search, built at first use: reading a large language model takes a while."""
        if self._decoder is None:
            self._decoder = BeamSearchDecoder(self.decoder_options, self.dictionary)
        return self._decoder

    def _beam_search(
        self, log_probs: Tensor, lengths: list[int], items: list[Item], records: Records
    ) -> None:
        for row, length, item in zip(log_probs, lengths, items, strict=True):
            hypotheses = self.decoder.decode(row[:length])
            best_text, _ = hypotheses[0]
            score_text(item.label, best_text, records, prefix=LM)
            records[f"{LM}hyp"].append(best_text)
            records[f"{LM}nbest"].append([list(pair) for pair in hypotheses])
