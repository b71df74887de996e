"""QUESST 2014 in miniature: spoken queries, documents to find them in, and where each of them is.

The layout of quesst14Database: Audio/, dev_queries/, eval_queries/ (8 kHz) and scoring/ with the lists of
languages and the ground truth of both sets of queries, in six languages, most of it nnenglish. Half of the
queries are said by the voice that says the documents they are in, half by voices that say no document; each
half has a ground truth of its own, groundtruth_quesst14_{dev,eval}_{same_voice,cross_voice}. One query in ten
occurs nowhere.
"""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count as numbers
from itertools import permutations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError

from .corpus import each
from .quesst14_words import WORDS, Words
from .speakers import Speaker, make_speaker
from .synthesis import SAMPLE_RATE, Segment, synthesize

NAME = "quesst14"
FOLDER = "quesst14Database"
VERSION = 1

SPLITS = ("dev", "eval")
RATE = 8000  # Hz, as in the real corpus
KINDS = ("same_voice", "cross_voice")
_MAIN = "nnenglish"
_OTHERS = 15  # one item in so many is in each of the other languages
_FEWEST, _MOST_QUERIES, _MOST_DOCUMENTS = len(WORDS), 500, 20_000
_DOCUMENTS_OF_A_VOICE = 16
_QUERIES_OF_A_VOICE = 4  # that says no document
_TERMS, _OTHER_WORDS = 2, 2  # in a document
_EDGE = 0.05  # s of silence kept before and after a query


@dataclass(frozen=True)
class _Item:
    """A recording to be made: a document or a query."""

    folder: Path
    language: str
    text: str
    speaker: Speaker
    path: str = ""  # from the folder of the corpus
    kind: str = ""  # of a query, one of `KINDS`

    @property
    def name(self) -> str:
        return Path(self.path).stem


@dataclass(frozen=True)
class _Made:
    seconds: float
    words: list[Segment]


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the three sets."""
    for name, default, what in (
        ("documents", 240, "documents that are searched"),
        ("dev_queries", 60, "queries for development"),
        ("eval_queries", 60, "queries for testing"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what}, of all languages")


def next_command(folder: Path) -> str:
    """Searches the corpus in `folder`; there is nothing to train."""
    command = (
        f"{command_line('evaluate')} -t test -u fbank -d quesst14_dtw "
        "-c downstream/quesst14_dtw/mini.yaml -n qbe_mini"
    )
    if folder == Path("data/mini", FOLDER):
        return command
    return f"{command} -o \"config.downstream_expert.datarc.dataset_root='{folder}'\""


def make(folder: Path, seed: int, n_jobs: int, **sizes: int) -> dict[str, Any]:
    """Write the corpus into an empty folder; `sizes` are the options of `add_options`.

    Raises:
        UserError: sizes that cannot be had.
    """
    _check(sizes)
    documents, queries = _plan(folder, seed, sizes)
    items = [*documents, *(query for split in SPLITS for query in queries[split])]
    made = dict(zip(items, each(_record, items, n_jobs, NAME, unit="recordings"), strict=True))
    _write_languages(folder / "scoring" / "language_key_utterances.lst", documents)
    for split in SPLITS:
        _write_languages(folder / "scoring" / f"language_key_{split}.lst", queries[split])
        for kind in ("", *KINDS):
            place = folder / "scoring" / "_".join(filter(None, ("groundtruth_quesst14", split, kind)))
            chosen = [query for query in queries[split] if kind in ("", query.kind)]
            _write_ground_truth(place, f"quesst14_{split}", {one: made[one] for one in documents}, chosen)
    (folder / "README.txt").write_text(_README, "utf-8")
    return {
        part: {
            "utterances": len(held),
            "speakers": len({item.speaker.number for item in held}),
            "hours": round(sum(made[item].seconds for item in held) / 3600, 4),
        }
        for part, held in {"documents": documents, **queries}.items()
    }


def _check(sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        most = _MOST_DOCUMENTS if name == "documents" else _MOST_QUERIES
        if not _FEWEST <= size <= most:
            raise UserError(f"--{name} {size}: it must be from {_FEWEST}, one of each language, to {most}.")
    if (total := sizes["dev_queries"] + sizes["eval_queries"]) > _MOST_QUERIES:
        raise UserError(f"{total} queries are more than the {_MOST_QUERIES} that there are words for.")
    if (fewest := -(-total // _TERMS)) > sizes["documents"]:
        raise UserError(
            f"--documents {sizes['documents']}: each says {_TERMS} of the queries, so {total} queries need "
            f"at least {fewest} documents."
        )


def _plan(folder: Path, seed: int, sizes: dict[str, int]) -> tuple[list[_Item], dict[str, list[_Item]]]:
    """The documents, and the queries of each split, in the order of their names."""
    documents: list[_Item] = []
    queries: dict[str, list[_Item]] = {split: [] for split in SPLITS}
    for number, language in enumerate(WORDS):
        rng = np.random.default_rng([seed, 6, number])
        counts = [_of_language(sizes[f"{split}_queries"], language) for split in SPLITS]
        terms = iter(_terms(WORDS[language], sum(counts), rng))
        said = _of_language(sizes["documents"], language)
        speakers = _speakers(seed, number, WORDS[language].accents)
        voices = [next(speakers) for _ in range(1 + (said - 1) // _DOCUMENTS_OF_A_VOICE)]
        searched: list[list[str]] = [[] for _ in voices]  # what occurs in the documents of each voice
        for split, count in zip(SPLITS, counts, strict=True):
            for index in range(count):
                term, voice = next(terms), index // 2 % len(voices)
                # Words and pairs of words alternate, and each kind has as many of both. Languages begin with
                # one kind or the other, so that a small corpus has both.
                same = (index % 4 in (0, 3)) == (number % 2 == 0)
                if index % (2 * _QUERIES_OF_A_VOICE) == 0:
                    stranger = next(speakers)
                speaker = voices[voice] if same else stranger
                queries[split].append(_Item(folder, language, term, speaker, kind=KINDS[not same]))
                if index % 10 != 9:
                    searched[voice].append(term)
        texts = [_sentences(WORDS[language], found, rng) for found in searched]
        documents += [
            _Item(folder, language, next(texts[index % len(voices)]), voices[index % len(voices)])
            for index in range(said)
        ]
    rng = np.random.default_rng([seed, 6, len(WORDS)])
    return (
        _named(documents, "Audio/quesst14_{:05d}.wav", rng),
        {
            split: _named(found, f"{split}_queries/quesst14_{split}_{{:04d}}.wav", rng)
            for split, found in queries.items()
        },
    )


def _of_language(total: int, language: str) -> int:
    """How many of `total` documents or queries are in a language; at least one is."""
    others = max(1, total // _OTHERS)
    return total - others * (len(WORDS) - 1) if language == _MAIN else others


def _speakers(seed: int, language: int, accents: Sequence[str]) -> Iterator[Speaker]:
    for index in numbers():
        yield make_speaker(seed, 10_000 * language + index, accent=accents[index // 2 % len(accents)])


def _terms(words: Words, count: int, rng: np.random.Generator) -> list[str]:
    """What is searched for: words and pairs of words in turn, pairs only when the words are used up."""
    alone = iter(rng.permutation(words.alone).tolist())
    pairs = list(permutations(words.paired, 2))
    paired = (" ".join(pairs[index]) for index in rng.permutation(len(pairs)))
    terms: list[str] = []
    while len(terms) < count:
        terms += [next(alone, None) or next(paired), next(paired)]
    return terms[:count]


def _sentences(words: Words, searched: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Documents of one voice without end; what is searched for and other words occur equally often."""
    terms, others, links = (_shuffled(pool, rng) for pool in (searched, words.other, words.links))
    while True:
        known = [next(terms) for _ in range(min(_TERMS, len(searched)))]
        said = known + [next(others) for _ in range(_TERMS + _OTHER_WORDS - len(known))]
        yield " ".join(f"{next(links)} {said[index]}" for index in rng.permutation(len(said)))


def _shuffled(pool: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """All of the pool in random order, again and again."""
    while True:
        yield from rng.permutation(pool).tolist()


def _named(items: list[_Item], pattern: str, rng: np.random.Generator) -> list[_Item]:
    """Numbered in random order, so that the languages are mixed as in the real corpus."""
    order = rng.permutation(len(items)).tolist()
    return [replace(items[place], path=pattern.format(index)) for index, place in enumerate(order, 1)]


def _record(item: _Item) -> _Made:
    """Write a recording; returns its length and the times of its words."""
    import soundfile
    import soxr

    samples, words, _ = synthesize(item.text, item.speaker)
    if item.kind:
        first, last = words[0].start - _EDGE, words[-1].end + _EDGE
        samples = samples[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]
    samples = soxr.resample(samples, SAMPLE_RATE, RATE)
    path = item.folder / item.path
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return _Made(len(samples) / RATE, words)


def _write_languages(path: Path, items: Iterable[_Item]) -> None:
    """Which language a recording is in; the first folder of its path is that of the corpus."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{FOLDER}/{item.path} {item.language}\n" for item in items), "utf-8")


def _write_ground_truth(
    folder: Path, name: str, documents: dict[_Item, _Made], queries: Sequence[_Item]
) -> None:
    """Documents, queries and occurrences as NIST's files for spoken term detection."""
    folder.mkdir()
    seconds = sum(made.seconds for made in documents.values())
    about = {"language": "multiple", "version": "1"}
    ecf = ElementTree.Element("ecf", {"source_signal_duration": f"{seconds:.3f}", **about})
    for document, made in documents.items():
        where = {
            "audio_filename": document.path,
            "channel": "1",
            "tbeg": "0.000",
            "dur": f"{made.seconds:.3f}",
        }
        ElementTree.SubElement(
            ecf, "excerpt", {**where, "language": document.language, "source_type": "splitcts"}
        )
    _write_xml(folder / f"{name}.ecf.xml", ecf)
    terms = ElementTree.Element("termlist", {"ecf_filename": f"{name}.ecf.xml", **about})
    for query in queries:
        term = ElementTree.SubElement(terms, "term", {"termid": query.name})
        ElementTree.SubElement(term, "termtext").text = query.text
    _write_xml(folder / f"{name}.tlist.xml", terms)
    lines = [
        f"LEXEME {document.name} 1 {start:.3f} {end - start:.3f} {query.name} lex <NA> <NA>\n"
        for query in queries
        for document, made in documents.items()
        if document.language == query.language
        for start, end in _occurrences(query.text.split(), made.words)
    ]
    (folder / f"{name}.rttm").write_text("".join(lines), "utf-8")


def _occurrences(term: Sequence[str], words: Sequence[Segment]) -> Iterator[tuple[float, float]]:
    """From when to when a term is said, in seconds."""
    labels = [word.label for word in words]
    for first in range(len(labels) - len(term) + 1):
        if labels[first : first + len(term)] == list(term):
            yield words[first].start, words[first + len(term) - 1].end


def _write_xml(path: Path, root: ElementTree.Element) -> None:
    ElementTree.indent(root)
    path.write_text(ElementTree.tostring(root, encoding="unicode") + "\n", "utf-8")


_README = """A miniature of the QUESST 2014 database, for trying out programs in minutes.

No person was recorded: lists of words were spoken by the speech synthesiser eSpeak NG
(https://github.com/espeak-ng/espeak-ng, a program under the GNU GPL 3.0), in six languages and many voices,
by preprocess/make_mini_corpora.py of S3PRL. A result on these files says that a program works; it says
nothing about recorded speech. The real corpus: https://speech.fit.vutbr.cz/files/quesst14Database.tgz

Audio                        the documents: 8 kHz, 16 bit
dev_queries, eval_queries    the queries, words or pairs of words
scoring/language_key_*.lst   recordings and their languages; the first folder of a path is the corpus itself
scoring/groundtruth_quesst14_{dev,eval}
                             *.ecf.xml: the documents; *.tlist.xml: the queries; *.rttm: a line
                             `LEXEME <document> 1 <begin> <duration> <query> lex` for each time a query occurs
scoring/groundtruth_quesst14_{dev,eval}_{same_voice,cross_voice}
                             the same for the queries whose voice says the documents in which they occur, and
                             for those whose voice says none
mini.json                    the settings it was made with
"""
