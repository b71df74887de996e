"""Beam search over words with an n-gram language model (KenLM), by the flashlight-text library."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from torch import Tensor

from s3prl.utility.commands import localized
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.typed import at_least, typed

from .characters import CharacterDictionary

WHERE = "downstream_expert.datarc.decoder_args"


@dataclass
class DecoderOptions:
    """The block `decoder_args` of the config."""

    decoder_type: Literal["none", "viterbi", "kenlm"] = "none"  # none and viterbi: greedy only
    kenlm_model: str | None = None  # .arpa, .arpa.gz or KenLM binary
    lexicon: str | None = None  # lines `WORD W O R D |`
    nbest: Annotated[int, at_least(1)] = 1
    criterion: Literal["ctc"] = "ctc"
    beam: Annotated[int, at_least(1)] = 5
    beam_size_token: int | None = None  # symbols tried per frame; all of them when absent
    beam_threshold: float = 25
    lm_weight: float = 2
    word_score: float = -1
    unk_weight: float = float("-inf")
    sil_weight: float = 0

    @classmethod
    def from_config(cls, config: dict | None, launch_dir: str | None = None) -> "DecoderOptions":
        """Check the block, fill in defaults and find its files.

        Raises:
            UserError: an unknown field or value, or a file that is needed and not there.
        """
        config = dict(config or {})
        config["decoder_type"] = str(config.get("decoder_type")).lower()  # None and "None" are greedy too
        options = typed(cls, config, WHERE)
        if options.uses_language_model:
            options._find_files(launch_dir)
        return options

    @property
    def uses_language_model(self) -> bool:
        """Whether beam search is asked for."""
        return self.decoder_type == "kenlm"

    def _find_files(self, launch_dir: str | None) -> None:
        if importlib.util.find_spec("flashlight") is None:
            raise UserError(
                "decoder_type kenlm needs the package flashlight-text. "
                f"Install it with `{localized('pip install -r requirements-lm.txt')}`."
            )
        pages = {
            "kenlm_model": "LibriSpeech's is 4-gram.arpa.gz of https://www.openslr.org/11",
            "lexicon": "one line `WORD W O R D |` for every word; LibriSpeech's is "
            "https://dl.fbaipublicfiles.com/fairseq/wav2vec/librispeech_lexicon.lst",
        }
        for name, page in pages.items():
            value = getattr(self, name)
            if value is None or not find_path(value, launch_dir).is_file():
                problem = "is not set" if value is None else f"names {value}, which does not exist"
                raise UserError(f"{WHERE}.{name} {problem}. decoder_type kenlm needs it: {page}.")
            setattr(self, name, str(find_path(value, launch_dir)))


class BeamSearchDecoder:
    """Finds the word sequences with the best sum of acoustic and language model scores."""

    def __init__(self, options: DecoderOptions, dictionary: CharacterDictionary) -> None:
        """Read the lexicon and the language model (a large one takes a while).

        Raises:
            UserError: a line of the lexicon cannot be spelt with the dictionary.
        """
        from flashlight.lib.text.decoder import (
            CriterionType,
            LexiconDecoder,
            LexiconDecoderOptions,
            SmearingMode,
            Trie,
        )
        from flashlight.lib.text.decoder.kenlm import KenLM
        from flashlight.lib.text.dictionary import create_word_dict

        self.nbest = options.nbest
        lexicon = read_lexicon(Path(options.lexicon), dictionary)
        self._words = create_word_dict({word: [] for word in (*lexicon, "<unk>")})
        self._model = KenLM(options.kenlm_model, self._words)
        boundary = dictionary.index("|")
        self._trie = Trie(len(dictionary), boundary)
        start = self._model.start(False)
        for word, spellings in lexicon.items():
            number = self._words.get_index(word)
            _, score = self._model.score(start, number)
            for spelling in spellings:
                self._trie.insert(spelling, number, score)
        self._trie.smear(SmearingMode.MAX)
        self._decoder = LexiconDecoder(
            LexiconDecoderOptions(
                beam_size=options.beam,
                beam_size_token=options.beam_size_token or len(dictionary),
                beam_threshold=options.beam_threshold,
                lm_weight=options.lm_weight,
                word_score=options.word_score,
                unk_score=options.unk_weight,
                sil_score=options.sil_weight,
                log_add=False,
                criterion_type=CriterionType.CTC,
            ),
            self._trie,
            self._model,
            boundary,
            dictionary.blank,
            self._words.get_index("<unk>"),
            [],
            False,
        )

    def decode(self, log_probs: Tensor) -> list[tuple[str, float]]:
        """The `nbest` best texts of an utterance with their scores, best first: [frames, symbols] -> list."""
        log_probs = log_probs.float().cpu().contiguous()
        frames, symbols = log_probs.shape
        results = self._decoder.decode(log_probs.data_ptr(), frames, symbols)[: self.nbest]
        return [(self._text(result.words), result.score) for result in results] or [("", 0.0)]

    def _text(self, words: list[int]) -> str:
        return " ".join(self._words.get_entry(word) for word in words if word >= 0)


def read_lexicon(path: Path, dictionary: CharacterDictionary) -> dict[str, list[list[int]]]:
    """Word -> its spellings as symbol numbers, from lines `WORD W O R D |`.

    Raises:
        UserError: a line without spelling, or with a symbol that the dictionary lacks.
    """
    lexicon: dict[str, list[list[int]]] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            word, *spelling = line.split() or [""]
            if not word:
                continue
            unknown = [symbol for symbol in spelling if dictionary.index(symbol) is None]
            if unknown or not spelling:
                problem = f"uses {unknown[0]}, which the dictionary lacks" if unknown else "has no spelling"
                raise UserError(f"Line {number} of the lexicon {path} ({word}) {problem}. Write `HI H I |`.")
            lexicon.setdefault(word, []).append([dictionary.index(symbol) for symbol in spelling])
    return lexicon
