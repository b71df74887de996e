"""Speech recognition on your own lists: symbols of the training texts, CTC, word and character error rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from s3prl.utility.errors import UserError
from s3prl.utility.metric import Metric
from s3prl.utility.paths import find_path

from ..common import lists
from ..common.encoders import EncoderSettings, TextEncoder
from ..common.items import Item
from ..common.own_lists import ListSettings, OwnLists
from ..common.sequence import SequenceTask

NAMED = 5  # texts in a message
WORD_BEGINS = "\u2581"  # in the pieces of a sentencepiece model


@dataclass(kw_only=True)
class Settings(ListSettings):
    """`datarc` of the config."""

    text: EncoderSettings
    zero_infinity: bool = True


class DownstreamExpert(OwnLists, SequenceTask):
    """The lists of the config, and the symbols that the texts of the training list have."""

    name = "speech_recognition"
    settings_kind = Settings
    columns = ("text",)
    example = """
path,text
wavs/0001.wav,the cat sat on the mat
wavs/0002.wav,a dog barked
"""
    metrics: Sequence[str] = ("wer", "cer")
    metric = Metric("wer", lower_is_better=True)

    def __init__(
        self, upstream_dim: int, upstream_rate: int, downstream_expert: dict, **options: Any
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value, or a list a mistake.
        """
        self.settings, modelrc = self.read_config(downstream_expert)
        settings = self.settings
        self.symbols = {"word": "words", "subword": "pieces"}.get(settings.text.mode, "characters")
        super().__init__(upstream_dim, upstream_rate, settings, modelrc, settings.zero_infinity, **options)

    @classmethod
    def check_data(cls, settings: Settings, splits: list[str], launch_dir: str | None) -> None:
        """Of OwnLists; also find a missing or damaged vocabulary."""
        if settings.text.vocab_file is not None:
            settings.text.from_file(find_path(settings.text.vocab_file, launch_dir))
        super().check_data(settings, splits, launch_dir)

    def make_encoder(self) -> TextEncoder:
        """That of the config; where it names no vocabulary, of the training texts."""
        return self.settings.text.encoder(
            self.find, self.settled, lambda: [item.label for item in self.read(self.train_split)]
        )

    def items(self, split: str) -> list[Item]:
        """The rows of the split's list, the longest recording first."""
        return lists.transcripts(self.settings.given, split, self.launch_dir)

    def check_items(self, split: str, items: list[Item]) -> None:
        """Of SequenceTask; also refuse texts without any known symbol, as of another script or case.

        Raises:
            UserError: says how many there are, and names the first ones.
        """
        super().check_items(split, items)
        lost = [item for item in items if self._is_lost(item.label)]
        if lost:
            named = "".join(f"\n  {item.name}: {item.label}" for item in lost[:NAMED])
            raise UserError(
                f"{self.list_of(split)}: {len(lost)} of {len(items)} texts have none of the {self.symbols} "
                f"of the training:{named}\nWrite them as those of the training list (same case, same script) "
                "or name a vocabulary in downstream_expert.datarc.text.vocab_file."
            )

    def _is_lost(self, text: str) -> bool:
        """Whether no symbol of a text is known. A word that training lacks is nothing unusual."""
        if self.settings.text.mode == "word":
            return False
        unknown = self.encoder.unknown([text])
        lengths = {unit: len(unit.strip(WORD_BEGINS)) for unit in unknown}
        return sum(lengths[unit] * unknown[unit] for unit in unknown) >= len("".join(text.split()))
