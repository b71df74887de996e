"""The files of an evaluation, and what it says of each layer."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from s3prl.utility.files import write_json
from s3prl.utility.progress import say
from s3prl.utility.results import aligned

from ..common.metrics.quesst_truth import GroundTruth
from ..common.metrics.stdlist import write_stdlist
from .scoring import answer, scored, standardised
from .search import Search

STDLIST = "benchmark.stdlist.xml"
DECIDING = "mtwv"

Figures = dict[str, float]


def write_answers(
    search: Search,
    documents: Sequence[str],
    folders: Mapping[int, Path],
    truths: Mapping[str, GroundTruth],
) -> dict[int, Figures]:
    """Write `benchmark.stdlist.xml` for each searched layer; returns the official scores by layer.

    Args:
        documents: names of all.
        folders: where the file of each layer goes.
        truths: by name, see `scored`.
    """
    queries, threshold = search.found(), search.settings.threshold
    found = {}
    for place, (layer, folder) in enumerate(folders.items()):
        names, scores = search.scores(place, documents)
        scores = standardised(scores)
        folder.mkdir(parents=True, exist_ok=True)
        rows = ((query, zip(names, row, strict=True)) for query, row in zip(queries, scores, strict=True))
        write_stdlist(folder / STDLIST, rows, threshold)
        found[layer] = scored(answer(queries, names, scores, threshold), truths)
    return found


class LayerTable:
    """The scores of the layers for a split, `layers-<dev|eval>.json` of the experiment folder."""

    def __init__(self, expdir: Path, about: Mapping[str, Any]) -> None:
        """
        Args:
            about: what was searched how; tables about something else are not compared.
        """
        self.expdir, self.about = expdir, json.loads(json.dumps(about))

    def write(self, part: str, layers: Mapping[int, Figures]) -> None:
        """Keep the scores of "dev" or "eval"."""
        content = {"about": self.about, "layers": {str(layer): row for layer, row in layers.items()}}
        write_json(self._path(part), content)

    def read(self, part: str) -> dict[int, Figures]:
        """The scores of "dev" or "eval"; nothing where none are known of the same search."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            content = json.loads(self._path(part).read_text("utf-8"))
            if content["about"] == self.about:
                return {int(layer): row for layer, row in content["layers"].items()}
        return {}

    def _path(self, part: str) -> Path:
        return self.expdir / f"layers-{part}.json"


def best(layers: Mapping[int, Figures]) -> int | None:
    """The layer with the greatest MTWV; the first of equals."""
    known = {layer: row[DECIDING] for layer, row in layers.items() if DECIDING in row}
    return max(known, key=known.__getitem__, default=None)


def tell_layers(part: str, layers: Mapping[int, Figures], table: LayerTable) -> Figures:
    """Print the scores of layers, and write them; the metrics are those of the layer that dev chooses."""
    table.write(part, layers)
    columns = list(dict.fromkeys(name for row in layers.values() for name in row))
    metrics = {f"layer-{layer}-{DECIDING}": row[DECIDING] for layer, row in layers.items() if DECIDING in row}
    if not metrics:
        return {}
    texts = [[str(layer), *(f"{row[name]:.4f}" for name in columns)] for layer, row in layers.items()]
    say(aligned([["layer", *columns], *texts], 1))
    chosen = best(table.read("dev"))
    if chosen not in layers:
        say("The best layer is chosen on dev: evaluate -t dev into the same folder, which then names it.")
        return metrics
    known = {one: table.read(one).get(chosen, {}).get(DECIDING) for one in ("dev", "eval")}
    scores = ", ".join(f"{score:.4f} on {one}" for one, score in known.items() if score is not None)
    say(f"Layer {chosen} is the best on dev. Its {DECIDING}: {scores}.")
    return {**layers[chosen], "layer": chosen, **metrics}
