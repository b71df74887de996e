"""Which query occurs in which document: the ground truth of QUESST 2014, or a list of one's own.

A folder such as `scoring/groundtruth_quesst14_dev` holds the files of NIST's STD 2006 evaluation:

    quesst14_dev.ecf.xml     the documents
        <ecf source_signal_duration="4.500" language="multiple" version="1">
          <excerpt audio_filename="Audio/quesst14_00001.wav" channel="1" tbeg="0.000" dur="4.500" .../>
    quesst14_dev.tlist.xml   the queries
        <termlist ecf_filename="quesst14_dev.ecf.xml" language="multiple" version="1">
          <term termid="quesst14_dev_0001"><termtext>quesst14_dev_0001</termtext></term>
    quesst14_dev.rttm        the occurrences, in seconds
        LEXEME quesst14_00001 1 1.250 0.480 quesst14_dev_0001 lex <NA> <NA>

A list of one's own is a CSV file (or TSV) with the columns `query` and `document`, one row per occurrence.
"""

import csv
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s3prl.utility.config import nearest
from s3prl.utility.errors import UserError

from .xml_elements import OtherContent, attribute, plain_name, read_elements

ROOTS = ("ecf", "termlist", "kwlist")
TERMS = {"term": "termid", "kw": "kwid"}
TEXTS = ("termtext", "kwtext")
RTTM_FIELDS = 6  # up to the word: type, file, channel, begin, duration, word


class GroundTruth(NamedTuple):
    """The queries and documents of a search, and the pairs of them in which the query occurs."""

    queries: list[str]
    documents: list[str]
    occurrences: frozenset[tuple[str, str]]  # (query, document)
    notes: tuple[str, ...] = ()  # what its files say besides, and is not counted

    @property
    def targets(self) -> np.ndarray:
        """bool [queries, documents], whether the query occurs in the document."""
        rows = {query: row for row, query in enumerate(self.queries)}
        columns = {document: column for column, document in enumerate(self.documents)}
        targets = np.zeros((len(rows), len(columns)), dtype=bool)
        for query, document in self.occurrences:
            targets[rows[query], columns[document]] = True
        return targets

    def including(self, queries: Iterable[str], documents: Iterable[str]) -> "GroundTruth":
        """The same with further queries and documents, where these are not listed yet."""
        return GroundTruth(
            list(dict.fromkeys([*self.queries, *queries])),
            list(dict.fromkeys([*self.documents, *documents])),
            self.occurrences,
            self.notes,
        )


def read_ground_truth(folder: Path) -> GroundTruth:
    """Read a folder with files ECF, term list and RTTM; names without folders and audio suffixes.

    The XML files are known by their outermost element (ecf, termlist or kwlist), whatever they are called;
    several of a kind are taken together, others skipped. An occurrence names a query by its id or by its
    text. Lines of the RTTM other than LEXEME are skipped; times are not needed. Occurrences of queries or in
    documents that are not listed do not count; a note of the result names the first one of each file.

    Raises:
        UserError: a file is missing or damaged, or none of the occurrences of a file is listed.
    """
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder.absolute()}. Give the folder of the ground truth, such as "
            "quesst14Database/scoring/groundtruth_quesst14_eval."
        )
    found = _Listed()
    for path in _files(folder, ".xml"):
        found.read(path)
    rttms = _files(folder, ".rttm")
    for missing, kind in (
        (not found.documents, "documents (*.ecf.xml)"),
        (not found.queries, "queries (*.tlist.xml)"),
        (not rttms, "occurrences (*.rttm)"),
    ):
        if missing:
            raise UserError(f"{folder} has no file that lists {kind}. Is it a folder of the ground truth?")
    read = [_occurrences(path, found) for path in rttms]
    occurrences = frozenset(pair for pairs, _ in read for pair in pairs)
    notes = tuple(note for _, note in read if note)
    return GroundTruth(list(found.queries), list(found.documents), occurrences, notes)


def read_pairs(path: Path) -> GroundTruth:
    """Read a list of one's own; it knows only queries that occur, and documents in which one does.

    Raises:
        UserError: there is no such file, or its columns or a cell are missing.
    """
    if not path.is_file():
        raise UserError(f"There is no list {path.absolute()}. Correct its path.")
    pairs = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(
                file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", skipinitialspace=True
            )
            if not {"query", "document"} <= set(rows.fieldnames or ()):
                raise UserError(f"{path}: its first line must name the columns query and document.")
            for row in rows:
                pair = plain_name(row["query"] or ""), plain_name(row["document"] or "")
                if not all(pair):
                    raise UserError(f"{path}, line {rows.line_num}: give a query and a document.")
                pairs.append(pair)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    queries, documents = zip(*pairs, strict=True) if pairs else ((), ())
    return GroundTruth([], [], frozenset(pairs)).including(queries, documents)


def _files(folder: Path, suffix: str) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == suffix and path.is_file() and not path.name.startswith(".")
    )


class _Listed:
    """The documents and queries of XML files, in their order."""

    def __init__(self) -> None:
        self.documents: dict[str, None] = {}
        self.queries: dict[str, None] = {}
        self.by_text: dict[str, list[str]] = {}
        self.query = ""

    def read(self, path: Path) -> None:
        def on_element(name: str, attributes: dict[str, str], line: int) -> None:
            if name == "excerpt":
                self.documents[plain_name(attribute(path, line, name, attributes, "audio_filename"))] = None
            if name in TERMS:
                self.query = plain_name(attribute(path, line, name, attributes, TERMS[name]))
                self.queries[self.query] = None

        def on_text(name: str, text: str) -> None:
            if name in TEXTS and text:
                self.by_text.setdefault(plain_name(text), []).append(self.query)

        with suppress(OtherContent):
            read_elements(path, ROOTS, on_element, on_text)


def _occurrences(path: Path, listed: _Listed) -> tuple[list[tuple[str, str]], str]:
    """The (query, document) pairs of an RTTM, and a note on those that are not listed, if there are some."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    pairs: list[tuple[str, str]] = []
    unlisted: list[str] = []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0].upper() != "LEXEME":
            continue
        if len(fields) < RTTM_FIELDS:
            raise UserError(
                f"{path}, line {number}: LEXEME <document> <channel> <begin> <duration> <query> was "
                f"expected, not '{line}'."
            )
        document, word = plain_name(fields[1]), plain_name(fields[5])
        queries = [word] if word in listed.queries else listed.by_text.get(word, [])
        if document not in listed.documents:
            unlisted.append(_unlisted(number, "document", document, listed.documents))
        elif not queries:
            unlisted.append(_unlisted(number, "query", word, listed.queries))
        else:
            pairs += [(query, document) for query in queries]
    if not unlisted:
        return pairs, ""
    total = len(unlisted) + len(pairs)
    note = (
        f"{path}: {len(unlisted):,} of {total:,} occurrences are not listed in {path.parent}; {unlisted[0]}"
    )
    if not pairs:
        raise UserError(f"{note} Do the files belong together?")
    return pairs, f"{note} They do not count."


def _unlisted(line: int, what: str, name: str, listed: Iterable[str]) -> str:
    return f"the first is line {line}, the {what} '{name}'.{nearest(name, listed)}"
