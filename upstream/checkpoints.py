"""The table of published checkpoints (checkpoints.yaml): by which name, from where, under which licence."""

import functools
from dataclasses import dataclass
from pathlib import Path

from s3prl.utility.config import load_yaml, nearest
from s3prl.utility.download import cache_path, download
from s3prl.utility.errors import UserError
from s3prl.utility.typed import typed

TABLE = Path(__file__).with_name("checkpoints.yaml")


@dataclass(frozen=True)
class Checkpoint:
    """One row: a file (`url`), a repository of the Hugging Face hub (`hub`), or both."""

    name: str
    upstream: str  # the family that reads it: prefix of the entries `<upstream>_local`, ...
    aliases: tuple[str, ...] = ()
    url: str | None = None
    mirrors: tuple[str, ...] = ()
    model_config: str | None = None  # URL of a configuration file that goes with the weights
    hub: str | None = None  # organisation/model
    stride: int | None = None  # samples per frame
    dim: int | None = None
    layers: int | None = None  # tensors in hidden_states
    size: int | None = None  # bytes
    sha256: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        """Refuse a row without a source; raises a UserError."""
        if self.url is None and self.hub is None:
            raise UserError(f"{self.name} needs `url`, `hub` or both.")

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *self.aliases)

    def files(self, refresh: bool = False) -> dict[str, str]:
        """Local paths, downloaded unless cached: of `ckpt`, and of `model_config` where there is one.

        Args:
            refresh: download again.

        Raises:
            DownloadError: no address gives the file; says how to pass a local one.
        """
        weights = download(
            self.url,
            sha256=self.sha256,
            size=self.size,
            refresh=refresh,
            mirrors=self.mirrors,
            name=self.name,
        )
        paths = {"ckpt": str(weights)}
        if self.model_config is not None:
            name = f"the configuration of {self.name}"
            paths["model_config"] = str(download(self.model_config, refresh=refresh, name=name))
        return paths

    @property
    def cached(self) -> bool:
        """Whether the file is on this machine already."""
        return self.url is not None and cache_path(self.url).is_file()


@functools.lru_cache(maxsize=1)
def table() -> tuple[Checkpoint, ...]:
    """All rows, in the order of the file."""
    return tuple(
        typed(Checkpoint, row, f"{TABLE.name}: {name}", name) for name, row in load_yaml(TABLE).items()
    )


def find(name: str) -> Checkpoint:
    """The row of a name or alias.

    Raises:
        UserError: no row has it; names the nearest.
    """
    rows = {alias: row for row in table() for alias in row.names}
    if name not in rows:
        raise UserError(f"No published checkpoint is called '{name}'.{nearest(name, rows)}")
    return rows[name]
