"""LibriSpeech recordings with their spelling."""

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from ..common.bad_audio import BadAudio, load_or_note
from ..common.characters import CharacterDictionary
from ..common.librispeech import Utterance

Item = tuple[np.ndarray, np.ndarray, str, str, BadAudio | None]


class SpeechTextDataset(Dataset):
    """Waves and what is said in them."""

    def __init__(
        self, utterances: Sequence[Utterance], dictionary: CharacterDictionary, bad_audio: str
    ) -> None:
        self.utterances = utterances
        self.dictionary = dictionary
        self.bad_audio = bad_audio

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, index: int) -> Item:
        """Wave, spelling as numbers, transcript, name, and a note if the recording is unreadable."""
        utterance = self.utterances[index]
        wav, note = load_or_note(utterance.path, utterance.name, self.bad_audio)
        return wav, self.dictionary.encode(utterance.text), utterance.text, utterance.name, note

    @staticmethod
    def collate_fn(items: list[Item]) -> tuple[list, ...]:
        """Five lists: waves, spellings, transcripts, names, notes."""
        return tuple(list(column) for column in zip(*items, strict=True))
