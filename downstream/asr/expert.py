"""The ASR task of SUPERB (Yang et al., 2021): characters by CTC on LibriSpeech, scored by word error rate."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from s3prl.utility.metric import Metric
from s3prl.utility.paths import find_path
from s3prl.utility.typed import check_value, typed

from ..common import lists
from ..common.beam_search import DecoderOptions
from ..common.characters import CharacterDictionary
from ..common.corpora import librispeech
from ..common.items import Item
from ..common.recognition import RecognitionSettings, RecognitionTask
from ..common.sequence import model_choice
from ..common.task import split_of

WHERE = "downstream_expert.datarc"


@dataclass(kw_only=True)
class Settings(RecognitionSettings):
    """`datarc` of an ASR config, but for its splits."""

    libri_root: str
    bucket_file: str  # folder of the tables of lengths


@dataclass
class Blocks:
    """`downstream_expert` of an ASR config."""

    datarc: dict
    modelrc: dict


class DownstreamExpert(RecognitionTask):
    """LibriSpeech's items, and what decides."""

    name = "asr"
    metric = Metric("wer", lower_is_better=True, split="dev-clean")
    best_checkpoints = ("dev-best.ckpt", "dev-clean-best.ckpt")  # the second as in the public S3PRL

    def __init__(
        self,
        upstream_dim: int,
        upstream_rate: int,
        downstream_expert: dict,
        **options: Any,
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            options: of Task; with `bad_audio="skip"` transcripts without a recording are left out.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        settings, self.splits, modelrc = read_config(downstream_expert)
        super().__init__(upstream_dim, upstream_rate, settings, modelrc, **options)

    @staticmethod
    def check(downstream_expert: dict, splits: Iterable[str], launch_dir: str | None = None) -> None:
        """Find mistakes of the config and missing files, before any model is built.

        Args:
            splits: those that will be used.

        Raises:
            UserError: the first mistake found.
        """
        settings, folders, modelrc = read_config(downstream_expert)
        model_choice(modelrc)
        CharacterDictionary.from_file(find_path(settings.dict_path, launch_dir))
        DecoderOptions.from_config(settings.decoder_args, launch_dir)
        if settings.lists is not None:
            lists.check(settings.lists, splits, ["text"], launch_dir)
            return
        for split in splits:
            for folder in split_of(folders, split, WHERE):
                librispeech.check_folder(find_path(settings.libri_root, launch_dir), folder)

    def items(self, split: str) -> list[Item]:
        """The utterances of a split of the config, longest first."""
        if self.settings.lists is not None:
            found = lists.transcripts(self.settings.lists, split, self.launch_dir)
            return [replace(item, label=item.label.upper()) for item in found]
        folders = split_of(self.splits, split, WHERE)
        root, tables = self.find(self.settings.libri_root), self.find(self.settings.bucket_file)
        return librispeech.items(root, folders, tables, self.bad_audio == "skip")


def read_config(downstream_expert: dict) -> tuple[Settings, dict[str, list[str]], dict]:
    """The settings, the splits (any list in `datarc`: folders of the corpus), and the model's block."""
    blocks = typed(Blocks, downstream_expert, "downstream_expert")
    splits = {
        name: check_value(value, list[str], f"{WHERE}.{name}")
        for name, value in blocks.datarc.items()
        if isinstance(value, list)
    }
    fields = {name: value for name, value in blocks.datarc.items() if name not in splits}
    return typed(Settings, fields, WHERE), splits, blocks.modelrc
