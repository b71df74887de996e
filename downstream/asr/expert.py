"""The ASR task of SUPERB (Yang et al., 2021): characters by CTC on LibriSpeech, scored by word error rate."""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from s3prl.training.sampling import BucketBatchSampler
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path

from ..common.ark import write_ark
from ..common.bad_audio import BadAudio, BadAudioList, check_choice
from ..common.characters import CharacterDictionary, words_of
from ..common.ctc import ctc_loss, frames_needed, greedy_decode
from ..common.librispeech import list_utterances
from .dataset import SpeechTextDataset
from .decoder import BeamSearchDecoder, DecoderOptions
from .scoring import LM, error_rates, score_text, score_units, write_texts
from .settings import MODELS, check_config, check_corpus, split_folders

DECIDING_SPLITS = ("dev-clean", "dev")  # a better word error rate on one of them is worth a checkpoint
BEST_CHECKPOINTS = ["dev-best.ckpt", "dev-clean-best.ckpt"]  # the second is the name in the public S3PRL
TRAIN_SCORING = 10  # one training batch in ten is decoded: a spot check, since decoding waits for the GPU


class DownstreamExpert(nn.Module):
    """Data, model and metrics of the task; parameters have the names of the public S3PRL."""

    def __init__(
        self,
        upstream_dim: int,
        upstream_rate: int,
        downstream_expert: dict,
        expdir: str,
        bad_audio: str = "error",
        runner: dict | None = None,
        **kwargs: object,
    ) -> None:
        """
        Args:
            upstream_dim: size of a feature frame.
            upstream_rate: samples between two frames.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            expdir: where hypotheses and references are written.
            bad_audio: what to do with unreadable recordings, "error" or "skip".
            runner: the block of that name in the config; its `train_dataloader` names the training split.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        super().__init__()
        check_config(downstream_expert)
        self.datarc, modelrc = downstream_expert["datarc"], downstream_expert["modelrc"]
        self.train_split = (runner or {}).get("train_dataloader", "train")
        self.expdir = Path(expdir)
        self.bad_audio = check_choice(bad_audio)
        self.bad_audio_list = BadAudioList(expdir)
        self.dictionary = CharacterDictionary.from_file(find_path(self.datarc["dict_path"]))
        self.zero_infinity = self.datarc.get("zero_infinity", True)
        self.decoder_options = DecoderOptions.from_config(self.datarc.get("decoder_args"))
        self._decoder: BeamSearchDecoder | None = None

        select, width = modelrc["select"], modelrc["project_dim"]
        self.projector = nn.Linear(upstream_dim, width)
        self.model = MODELS[select](
            width, len(self.dictionary), upstream_rate=upstream_rate, **(modelrc.get(select) or {})
        )
        self.register_buffer("best_score", torch.full((1,), torch.inf))

    @staticmethod
    def check(downstream_expert: dict, splits: Iterable[str]) -> None:
        """Find mistakes of the config and missing files, before any model is built.

        Args:
            downstream_expert: the block of that name in the config.
            splits: the splits that will be used.

        Raises:
            UserError: the first mistake found.
        """
        check_config(downstream_expert)
        datarc = downstream_expert["datarc"]
        CharacterDictionary.from_file(find_path(datarc["dict_path"]))
        DecoderOptions.from_config(datarc.get("decoder_args"))
        check_corpus(datarc, splits)

    def get_dataloader(self, split: str) -> DataLoader:
        """Batches `(wavs, spellings, transcripts, names, notes)` of a split of the config.

        Raises:
            UserError: an unknown split, a missing corpus, or a recording without transcript.
        """
        root, table_dir = find_path(self.datarc["libri_root"]), find_path(self.datarc["bucket_file"])
        utterances = list_utterances(root, split_folders(self.datarc, split), table_dir, self.bad_audio)
        unknown = self.dictionary.unknown_characters(utterance.text for utterance in utterances)
        if unknown:
            most = ", ".join(f"{character} ({count})" for character, count in unknown.most_common(20))
            warn(f"{split}: {unknown.total()} characters not in the dictionary become <unk>: {most}.")
        if split == self.train_split:
            lengths = [utterance.samples for utterance in utterances]
            batches = {"batch_sampler": BucketBatchSampler(lengths, self.datarc["train_batch_size"])}
        else:
            batches = {"batch_size": self.datarc["eval_batch_size"]}
        return DataLoader(
            SpeechTextDataset(utterances, self.dictionary, self.bad_audio),
            num_workers=self.datarc["num_workers"],
            collate_fn=SpeechTextDataset.collate_fn,
            **batches,
        )

    def forward(
        self,
        split: str,
        features: list[Tensor],
        spellings: list[np.ndarray],
        transcripts: list[str],
        names: list[str],
        notes: list[BadAudio | None],
        records: dict[str, list],
        **kwargs: object,
    ) -> Tensor:
        """The CTC loss of a batch, the mean over its utterances; `records` gets what `log_records` needs."""
        log_probs, lengths = self.recognize(features)
        good = self.bad_audio_list.good_items(notes, records)
        if not good:
            return 0.0 * log_probs.sum()  # still a function of all weights, as distributed training expects
        if len(good) < len(notes):
            log_probs = log_probs[good]
            columns = (lengths, spellings, transcripts, names)
            lengths, spellings, transcripts, names = ([column[i] for i in good] for column in columns)

        losses = ctc_loss(log_probs, lengths, spellings, self.dictionary.blank, self.zero_infinity)
        records["loss"].append(losses.detach().sum())
        records["utterances"].append(len(good))
        needed = [frames_needed(spelling) for spelling in spellings]
        records["too_long"].append(sum(n > length for n, length in zip(needed, lengths, strict=True)))
        if not self.training or len(records["loss"]) % TRAIN_SCORING == 1:
            texts = [
                score_units(transcript, self.dictionary.units(numbers), records)
                for transcript, numbers in zip(transcripts, self._greedy(log_probs, lengths), strict=True)
            ]
            if not self.training:
                records["name"] += names
                records["ref"] += [" ".join(transcript.split()) for transcript in transcripts]
                records["hyp"] += texts
                if self.decoder_options.uses_language_model:
                    self._beam_search(log_probs, lengths, transcripts, records)
        return losses.mean()

    def log_records(
        self, split: str, records: dict[str, list], logger: object, global_step: int, **kwargs: object
    ) -> list[str]:
        """Report loss and error rates since the last call; names the checkpoints of a new best score.

        Raises:
            UserError: no recording of an evaluation split could be read.
        """
        skipped = self.bad_audio_list.summary(records)
        if skipped:
            warn(f"{split}: {skipped}.")
        if not records["loss"]:
            raise UserError(
                f"{split}: no recording could be read. {self.bad_audio_list.path} lists the reasons."
            )
        if too_long := sum(records["too_long"]):
            effect = "does not count" if self.zero_infinity else "is infinite"
            warn(f"{split}: {too_long} transcripts need more frames than there are; their loss {effect}.")
        loss = sum(float(loss) for loss in records["loss"]) / sum(records["utterances"])
        metrics = {"loss": loss, **error_rates(records)}
        for name, value in metrics.items():
            logger.add_scalar(f"asr/{split}-{name}", value, global_step=global_step)
        if not records["name"]:
            return []

        write_texts(self.expdir, split, records)
        if split in DECIDING_SPLITS and metrics["wer"] < self.best_score:
            self.best_score.fill_(metrics["wer"])
            return BEST_CHECKPOINTS
        return []

    @torch.no_grad()
    def inference(self, features: list[Tensor], filenames: list[str]) -> list[str]:
        """The text of each recording, printed and written to `<expdir>/inference.ark`."""
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
        write_ark(self.expdir / "inference.ark", hypotheses)
        return texts

    def recognize(self, features: list[Tensor]) -> tuple[Tensor, list[int]]:
        """List of [frames, upstream_dim] -> log probabilities [batch, frames', symbols] and their lengths."""
        lengths = [len(feature) for feature in features]
        projected = self.projector(pad_sequence(features, batch_first=True))
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
        self, log_probs: Tensor, lengths: list[int], transcripts: list[str], records: dict[str, list]
    ) -> None:
        for row, length, transcript in zip(log_probs, lengths, transcripts, strict=True):
            hypotheses = self.decoder.decode(row[:length])
            best_text, _ = hypotheses[0]
            score_text(transcript, best_text, records, prefix=LM)
            records[f"{LM}hyp"].append(best_text)
            records[f"{LM}nbest"].append([list(pair) for pair in hypotheses])


def warn(message: str) -> None:
    """One line on stderr, so that stdout keeps the figures."""
    print(f"[asr] {message}", file=sys.stderr)
