"""What a task is judged by: the name of its metric, which way is better, and the split that decides."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from s3prl.utility.errors import UserError
from s3prl.utility.files import write_json

FILE_NAME = "metric.json"


@dataclass(frozen=True)
class Metric:
    """The headline metric of a task.

    A run keeps it in its experiment folder, where tables, `get_best_dev` and the benchmark find it.
    """

    name: str  # as in metrics.jsonl: wer, acc, ...
    lower_is_better: bool = False
    split: str = "dev"  # the best checkpoint is the one best on this split

    @property
    def worst(self) -> float:
        """A score that every result improves on."""
        return float("inf") if self.lower_is_better else float("-inf")

    def better(self, score: float, than: float) -> bool:
        """Whether `score` improves on another."""
        return score < than if self.lower_is_better else score > than

    def write(self, expdir: Path) -> None:
        """Keep it in an experiment folder."""
        write_json(expdir / FILE_NAME, asdict(self))

    @classmethod
    def of(cls, expdir: Path) -> "Metric | None":
        """That of an experiment folder; None where none is kept, as by the public S3PRL.

        Raises:
            UserError: the file is damaged.
        """
        path = expdir / FILE_NAME
        if not path.is_file():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}). Remove it: training writes it again.") from error
