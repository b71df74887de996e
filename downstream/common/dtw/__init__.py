"""Subsequence dynamic time warping: how well spoken queries are found in spoken documents.

index = QueryIndex(queries, distance="cosine_exp")
scores = index.scores(documents)  # [documents, queries], higher is better
"""

from .distances import DISTANCES
from .index import QueryIndex

__all__ = ["DISTANCES", "QueryIndex"]
