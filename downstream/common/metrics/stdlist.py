"""The output of a spoken term detection system, `*.stdlist.xml`, as NIST's STD 2006 evaluation defined it.

    <stdlist termlist_filename="benchmark.stdlist.xml" indexing_time="1.00" ...>
      <detected_termlist termid="quesst14_dev_0001" term_search_time="1.0" oov_term_count="1">
        <term file="quesst14_00001" channel="1" tbeg="0.000" dur="0.00" score="-0.1234" decision="NO"/>

QUESST 2014 asks whether a query occurs in a document, not where, so times are 0. Both directions work on one
element after the other: QUESST 2014 has 7 million of them.
"""

import math
from array import array
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from s3prl.utility.errors import UserError
from s3prl.utility.files import write_atomically

from .xml_elements import attribute, plain_name, read_elements

DECISIONS = {"YES": True, "NO": False}
DETECTED = 2.0  # standard deviations above a query's mean

Results = Iterable[tuple[str, Iterable[tuple[str, float]]]]


class Search(NamedTuple):
    """What a system answers about pairs of query and document.

    Attributes:
        queries, documents: their names.
        scores: float64 [queries, documents], higher is likelier; NaN where the system says nothing.
        decisions: bool [queries, documents], whether the system says that the query occurs.
    """

    queries: list[str]
    documents: list[str]
    scores: np.ndarray
    decisions: np.ndarray

    def within(self, queries: Iterable[str], documents: Iterable[str]) -> "Search":
        """The part of the search that is about these queries and documents, in the order of the search."""
        queries, documents = set(queries), set(documents)
        rows = [row for row, query in enumerate(self.queries) if query in queries]
        columns = [column for column, document in enumerate(self.documents) if document in documents]
        where = np.ix_(rows, columns)
        return Search(
            [self.queries[row] for row in rows],
            [self.documents[column] for column in columns],
            self.scores[where],
            self.decisions[where],
        )


def write_stdlist(path: Path, results: Results, threshold: float = DETECTED) -> None:
    """Write scores as the official scorer of QUESST 2014 wants them, with 4 decimals; atomically.

    A matrix is written by
    `write_stdlist(path, ((query, zip(documents, row)) for query, row in zip(queries, scores)))`.

    Args:
        results: for each query its name, and the names of documents with their scores. NaN and infinite
            scores are left out: the scorer gives such pairs its score of missing ones.
        threshold: the decision is YES for scores above it.
    """
    root = (
        f'<stdlist termlist_filename="{_quoted(path.name)}" indexing_time="1.00" language="english" '
        'index_size="1" system_id="benchmark">'
    )

    def write(file: IO[bytes]) -> None:
        file.write(f"<?xml version='1.0' encoding='UTF-8'?>\n{root}\n".encode())
        for query, scores in results:
            file.write(_termlist(query, scores, threshold).encode())
        file.write(b"</stdlist>\n")

    write_atomically(path, write)


def _termlist(query: str, scores: Iterable[tuple[str, float]], threshold: float) -> str:
    terms = "".join(
        f'    <term file="{_quoted(document)}" channel="1" tbeg="0.000" dur="0.00" score="{score:.4f}" '
        f'decision="{"YES" if score > threshold else "NO"}"/>\n'
        for document, score in scores
        if math.isfinite(score)
    )
    head = f'  <detected_termlist termid="{_quoted(query)}" term_search_time="1.0" oov_term_count="1"'
    return f"{head}>\n{terms}  </detected_termlist>\n" if terms else f"{head}/>\n"


def _quoted(name: str) -> str:
    return escape(name, {'"': "&quot;"})


def read_stdlist(path: Path) -> Search:
    """Read the output of a system, in the order of the file.

    Folders and audio suffixes of names are dropped. Of several detections of a query in one document the one
    with the highest score counts.

    Raises:
        UserError: see `read_elements`; or an element lacks an attribute, or a score or decision is
            impossible.
    """
    found = _Terms(path)
    read_elements(path, ("stdlist",), found.on_element)
    shape = len(found.rows), len(found.documents)
    scores, decisions = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    for row, terms in enumerate(found.rows.values()):
        values = np.frombuffer(terms.scores)
        order = np.argsort(values, kind="stable")  # of equal indices the last, highest, is kept
        where = np.frombuffer(terms.columns, dtype=np.intc)[order]
        scores[row, where] = values[order]
        decisions[row, where] = np.frombuffer(terms.decisions, dtype=bool)[order]
    return Search(list(found.rows), list(found.documents), scores, decisions)


class _Row:
    """The terms of a query, 13 bytes each: indices of documents, scores, decisions."""

    def __init__(self) -> None:
        self.columns, self.scores, self.decisions = array("i"), array("d"), bytearray()


class _Terms:
    """Collects the terms of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, _Row] = {}
        self.documents: dict[str, int] = {}
        self.plain_name = cache(plain_name)
        self.row: _Row | None = None

    def on_element(self, name: str, attributes: dict[str, str], line: int) -> None:
        if name == "detected_termlist":
            query = plain_name(attribute(self.path, line, name, attributes, "termid"))
            self.row = self.rows.setdefault(query, _Row())
        if name != "term":
            return
        if self.row is None:
            raise UserError(f"{self.path}, line {line}: <term> must be inside of a <detected_termlist>.")
        try:
            document = self.plain_name(attributes["file"])
            score = float(attributes["score"])
            decision = DECISIONS[attributes["decision"].upper()]
        except (KeyError, ValueError):
            score = math.nan
        if not math.isfinite(score):
            raise UserError(
                f"{self.path}, line {line}: <term> needs the attributes file, score (a finite number) and "
                f"decision (YES or NO). It has {attributes}."
            )
        self.row.columns.append(self.documents.setdefault(document, len(self.documents)))
        self.row.scores.append(score)
        self.row.decisions.append(decision)
