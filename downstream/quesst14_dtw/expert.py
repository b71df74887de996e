"""The QbE task of SUPERB (Yang et al., 2021): spoken queries found in QUESST 2014 by dynamic time warping.

Nothing is trained: features are compared as they come out of the upstream.
"""

from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from s3prl.utility.errors import UserError
from s3prl.utility.metric import Metric
from s3prl.utility.paths import find_path
from s3prl.utility.progress import duration, say
from s3prl.utility.typed import choice

from ..common import lists
from ..common.corpora import quesst14
from ..common.dataset import ItemDataset, columns
from ..common.items import Item
from ..common.task import Records, Task
from .findings import Findings
from .plan import documents_within, plan
from .report import LayerTable, tell_layers, write_answers
from .scoring import NAME, read_truths
from .search import Search
from .settings import Settings

SPLITS = tuple(quesst14.PARTS)


class DownstreamExpert(Task):
    """Every query of a split against every document.

    Of a document that has been compared only the scores are kept, so that memory does not grow with the
    corpus, and an evaluation that was killed goes on where it was. plan.py says in which order recordings
    come.
    """

    name = NAME
    splits = SPLITS
    metric = Metric("mtwv", split="dev")
    reads = "layers"
    shards_evaluation = False
    keeps_partial_results = True

    def __init__(
        self,
        upstream_dim: int,
        upstream_rate: int,
        downstream_expert: dict,
        upstream_layers: int = 1,
        upstream: str | None = None,
        upstream_ckpt: str | None = None,
        cache: str | None = None,
        **options: Any,
    ) -> None:
        """
        Args:
            upstream_dim, upstream_rate: size of a feature frame, and samples between two.
            downstream_expert: the block of that name in the config; config.yaml explains its fields.
            upstream_layers: how many layers `forward` is given.
            upstream, upstream_ckpt: whose layers these are.
            cache: the folder of the feature cache; with it nothing needs to be kept for a second pass.
            options: of Task.

        Raises:
            UserError: a field of the config is unknown or has an impossible value.
        """
        self.settings = Settings.read(downstream_expert)
        super().__init__(self.settings.datarc, **options)
        self.settings.check_silence(upstream_dim)
        self.dim, self.rate, self.cached = upstream_dim, upstream_rate, cache is not None
        self.chosen = self.settings.chosen_layers(upstream_layers)  # None: their mean
        features = {name: options.get(f"upstream_feature_{name}") for name in ("selection", "normalize")}
        self.about = {
            "upstream": upstream, "checkpoint": upstream_ckpt, "features": features,
            "config": self.settings.deciding,
        }  # fmt: skip

    @classmethod
    def check(
        cls, downstream_expert: dict[str, Any], splits: Iterable[str], launch_dir: str | None = None
    ) -> None:
        """Find mistakes of the config and missing files, before any model is built; see Configured.check.

        Raises:
            UserError: the first mistake found.
        """
        data = Settings.read(downstream_expert).datarc
        root = find_path(data.dataset_root, launch_dir)
        for split in splits:
            quesst14.check_root(root, split)
            quesst14.queries(root, split, data.languages)
            read_truths(quesst14.ground_truths(root, split))
        quesst14.documents(root, data.languages)

    def items(self, split: str) -> list[Item]:
        """The queries of "dev" or "test" ("eval" is another name of it), labelled "query", then documents."""
        data, root = self.settings.datarc, self.find(self.settings.datarc.dataset_root)
        quesst14.check_root(root, choice(split, SPLITS, "The split"))
        queries = [replace(query, label="query") for query in quesst14.queries(root, split, data.languages)]
        return lists.with_lengths([*queries, *quesst14.documents(root, data.languages)], split)

    def get_dataloader(self, split: str) -> DataLoader:
        """Batches `(recordings, purposes, items)` of what is still to be read; see plan.py."""
        items = self.listed(split)
        queries = [item for item in items if item.label == "query"]
        documents = items[len(queries) :]
        layers = 1 if self.chosen is None else len(self.chosen)
        findings = Findings(self.partial, queries, documents, layers, self.dim)
        normalizes = self.settings.feature_normalization
        bytes_per_sample = layers * self.dim * torch.float32.itemsize / self.rate
        room = 0 if self.cached or not normalizes else self.settings.kept_bytes
        kept = documents_within(room, documents, bytes_per_sample)
        left = plan(queries, documents, findings, self.settings.datarc.batch_size, normalizes, kept)
        names = [query.name for query in queries]
        self._search = Search(
            self.settings, names, findings, kept, (layers, self.dim), self.best_score.device
        )
        self._documents = [document.name for document in documents]
        rows = [item for batch in left.batches for item in batch]
        numbers = iter(range(len(rows)))
        return DataLoader(
            ItemDataset(rows, attrgetter("label"), finished=left.finished),
            batch_sampler=[[next(numbers) for _ in batch] for batch in left.batches],
            num_workers=self.settings.datarc.num_workers,
            collate_fn=columns,
        )

    def forward(
        self,
        split: str,
        features: list[Tensor],
        purposes: list[str],
        items: list[Item],
        records: Records,
        **kwargs: object,
    ) -> Tensor:
        """Take a batch in, [layers, frames, dim] of each utterance; there is no loss."""
        for feature, purpose, item in zip(features, purposes, items, strict=True):
            if not feature.isfinite().all():
                raise UserError(
                    f"{item.recording.path}: features hold NaN or infinite values. Check the upstream, or "
                    "listen to the recording."
                )
            chosen = feature.mean(0, keepdim=True) if self.chosen is None else feature[self.chosen]
            getattr(self._search, purpose)(item.name, chosen)
        return torch.zeros(())

    def log_records(
        self, split: str, records: Records, logger: Any, global_step: int, **kwargs: object
    ) -> list[str]:
        """Finish the search; write its results and, where there is a ground truth, score them."""
        search = self._search
        search.finish(self._documents)
        if search.compared:
            say(
                f"[{self.name}] {len(search.found()):,} queries, {len(self._documents):,} documents: "
                f"{search.compared:,} comparisons in {duration(search.seconds)}"
            )
        for name, value in self._report(quesst14.PARTS[split]).items():
            logger.add_scalar(f"{self.name}/{split}-{name}", value, global_step=global_step)
        return []

    def _report(self, part: str) -> dict[str, float]:
        """Write what was found out; the metrics by name."""
        root = self.find(self.settings.datarc.dataset_root)
        truths = read_truths(quesst14.ground_truths(root, part))
        if not truths:
            say(f"[{self.name}] {root / 'scoring'} has no ground truth of {part}: no score is computed.")
        if self.chosen is None or len(self.chosen) == 1:
            return write_answers(self._search, self._documents, {0: self.expdir}, truths)[0]
        folders = {layer: self.expdir / f"layer-{layer}" for layer in self.chosen}
        layers = write_answers(self._search, self._documents, folders, truths)
        return tell_layers(part, layers, LayerTable(self.expdir, self.about))
