"""The corpora of the task, by the name that a config gives: `downstream_expert.corpus.name`.

Each is a dataclass of the fields of that block. All have one door, `items(split)`, whose labels are texts for
the encoder, in the order of their length.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from s3prl.utility.download import download
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.snips import SPEAKERS
from s3prl.utility.typed import at_least, check_value, checked_mapping, choice, typed

from ..common import lists
from ..common.corpora import common_voice, librispeech, snips
from ..common.dataset import Size
from ..common.items import Item
from ..common.lexicon import Lexicon
from ..common.task import split_of, warn

WHERE = "downstream_expert.corpus"
LEXICONS = (
    "https://www.openslr.org/resources/11/librispeech-lexicon.txt",
    "downstream/ctc/lexicon/librispeech-lexicon-allothers-g2p.txt.gz",
)
NAMED_WORDS = 100  # that no lexicon has
CLOSE = 0.8  # a list with a name so similar to a field's is no split


@dataclass
class Corpus:
    """What all corpora have in common.

    Attributes:
        symbols: what the symbols of its texts are, for messages.
        splits: of each split the parts of the corpus, such as folders.
        launch_dir: where the experiment was started first; relative paths count from there.
        name: in CORPORA; this and what follows are the fields of the block.
    """

    symbols: ClassVar[str] = "characters"

    splits: dict[str, list[str]]
    launch_dir: str | None
    name: str
    path: str | None = None
    lists: dict[str, str] | None = None  # split -> CSV or JSONL, in place of the corpus
    bucketing: bool = True  # batches of texts of similar length
    batch_size: Size = 16
    eval_batch_size: Size = 1
    num_workers: Annotated[int, at_least(0)] = 12

    def items(self, split: str) -> list[Item]:
        """The utterances of a split, those with the longest text first.

        Raises:
            UserError: no such split, or its data is missing.
        """
        if self.lists is not None:
            found = lists.items(lists.list_of(self.lists, split, self.launch_dir), "text")
        else:
            found = self.read(split_of(self.splits, split, WHERE))
        found = [replace(item, label=self.written(item.label)) for item in found]
        return sorted(found, key=lambda item: (-len(item.label), item.name))

    def read(self, parts: list[str]) -> list[Item]:
        """The utterances of some parts of the corpus, with their transcripts.

        Raises:
            UserError: the data is missing.
        """
        raise NotImplementedError

    def written(self, transcript: str) -> str:
        """A transcript, normalised."""
        return transcript

    def check(self, splits: Iterable[str]) -> None:
        """Find missing data and transcripts that cannot be used.

        Raises:
            UserError: the first mistake found.
        """
        for split in splits:
            self.items(split)

    @property
    def root(self) -> Path:
        """Where the corpus is.

        Raises:
            UserError: the config does not say.
        """
        if self.path is None:
            raise UserError(f"{WHERE} needs the field 'path' (or 'lists').")
        return find_path(self.path, self.launch_dir)


@dataclass
class LibriSpeech(Corpus):
    """Its transcripts, in capitals."""

    mini: ClassVar[str] = "downstream/ctc/mini_librispeech.yaml"

    def read(self, parts: list[str]) -> list[Item]:
        """See Corpus."""
        return librispeech.transcribed(self.root, parts, f"{WHERE}.path", self.mini)

    def written(self, transcript: str) -> str:
        """In capitals, as in the corpus."""
        return transcript.upper()


@dataclass
class LibriPhone(LibriSpeech):
    """LibriSpeech's transcripts as phones."""

    symbols: ClassVar[str] = "phones"
    mini: ClassVar[str] = "downstream/ctc/mini.yaml"

    lexicon: list[str] = field(default_factory=lambda: list(LEXICONS))  # files, or URLs to fetch once
    extra_lexicon: str | None = None  # for words that these lack

    def items(self, split: str) -> list[Item]:
        """See Corpus; the labels are phones.

        Raises:
            UserError: also where words are in no lexicon.
        """
        found = super().items(split)
        self._check_words([split], self._lexicon.unknown(item.label for item in found))
        found = [replace(item, label=self._lexicon.phones(item.label)) for item in found]
        return sorted(found, key=lambda item: (-item.label.count(" "), item.name))

    def check(self, splits: Iterable[str]) -> None:
        """See Corpus; words of all splits that are in no lexicon are named together."""
        found = {split: super(LibriPhone, self).items(split) for split in splits}  # before any download
        unknown: Counter = Counter()
        for items in found.values():
            unknown += self._lexicon.unknown(item.label for item in items)
        self._check_words(list(found), unknown)

    @cached_property
    def _lexicon(self) -> Lexicon:
        extra = [] if self.extra_lexicon is None else [self._file("extra_lexicon", self.extra_lexicon)]
        return Lexicon.from_files([*(self._file("lexicon", name) for name in self.lexicon), *extra])

    def _file(self, name: str, value: str) -> Path:
        if "://" in value:
            return download(value, name="The lexicon", instead=f"in {WHERE}.{name}")
        path = find_path(value, self.launch_dir)
        if not path.is_file():
            raise UserError(f"There is no lexicon {path.absolute()} ({WHERE}.{name}).")
        return path

    def _check_words(self, splits: list[str], unknown: Counter) -> None:
        if not unknown:
            return
        words = [word for word, _ in unknown.most_common(NAMED_WORDS)]
        more = f" and {len(unknown) - NAMED_WORDS} more" if len(unknown) > NAMED_WORDS else ""
        file, add = self.extra_lexicon, ""
        if file is None:
            file = "my_words.txt"
            add = f", and add it: -o \"config.{WHERE}.extra_lexicon='{file}'\""
        raise UserError(
            f"{len(unknown)} words of {', '.join(splits)} ({unknown.total()} occurrences) are in none of the "
            f"lexicons ({len(self._lexicon)} words): {' '.join(words)}{more}.\n"
            f"Write a line `WORD PH PH` for each into the file {file}{add}."
        )


@dataclass
class CommonVoice(Corpus):
    """The sentences of a language, without punctuation, in capitals."""

    normalize: bool = True  # see common_voice.normalized

    def read(self, parts: list[str]) -> list[Item]:
        """See Corpus."""
        return common_voice.items(self.root, parts, f"{WHERE}.path")

    def written(self, transcript: str) -> str:
        """Without punctuation, in capitals."""
        return common_voice.normalized(transcript) if self.normalize else transcript


@dataclass
class Snips(Corpus):
    """Commands of SNIPS with tags around the values of slots: `PLAY B-artist THE BEATLES E-artist`."""

    train_speakers: list[str] = field(default_factory=lambda: list(SPEAKERS["train"]))
    valid_speakers: list[str] = field(default_factory=lambda: list(SPEAKERS["valid"]))
    test_speakers: list[str] = field(default_factory=lambda: list(SPEAKERS["test"]))

    def read(self, parts: list[str]) -> list[Item]:
        """See Corpus; the first of the parts decides whose recordings are taken."""
        first = choice(parts[0] if parts else None, SPEAKERS, f"{WHERE}, the first folder of a split")
        speakers = getattr(self, f"{first}_speakers")
        return snips.items(self.root, parts, speakers, lambda message: warn(f"ctc-{self.name}", message))

    def check(self, splits: Iterable[str]) -> None:
        """See Corpus; the sentences are looked at when they are read, as there are many."""
        if self.lists is not None:
            return super().check(splits)
        for split in splits:
            for part in split_of(self.splits, split, WHERE):
                snips.check_folder(self.root, part)


CORPORA: dict[str, type[Corpus]] = {
    "librispeech": LibriSpeech,
    "libriphone": LibriPhone,
    "common_voice": CommonVoice,
    "snips": Snips,
}


def corpus_of(block: Mapping[str, Any], launch_dir: str | None = None) -> Corpus:
    """The corpus that a block of a config describes; its lists that are no field are splits.

    Raises:
        UserError: a field is unknown, missing or impossible.
    """
    block = checked_mapping(block, WHERE)
    name = choice(str(block.get("name")).lower(), CORPORA, f"{WHERE}.name")
    _, _, *known = (one.name for one in fields(CORPORA[name]))
    splits = {}
    for key, value in block.items():
        if key not in known and isinstance(value, list):
            if meant := get_close_matches(str(key), known, 1, CLOSE):
                raise UserError(f"{WHERE} has no field '{key}'. Did you mean '{meant[0]}'?")
            splits[key] = check_value(value, list[str], f"{WHERE}.{key}")
    others = {key: value for key, value in block.items() if key not in splits} | {"name": name}
    return typed(CORPORA[name], others, WHERE, splits, launch_dir)
