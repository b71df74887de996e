"""Hub entries that every family with checkpoints has, made from its `<family>_local`.

In a hubconf.py: `globals().update(checkpoint_entries("tera", tera_local))`.
"""

import sys
from collections.abc import Callable
from typing import Any

from s3prl.utility.download import DownloadError, download, gdriveids_to_filepaths

from .checkpoints import Checkpoint, table

Entry = Callable[..., Any]


def checkpoint_entries(upstream: str, local: Entry, from_hub: Entry | None = None) -> dict[str, Entry]:
    """`<upstream>_url`, `<upstream>_gdriveid`, `<upstream>_custom`, and an entry for every name in the table.

    Args:
        upstream: prefix of the entries, and the `upstream` of the rows in checkpoints.yaml.
        local: builds the model from `ckpt`, the path of a file.
        from_hub: builds it from `repository`, the name of a repository on the Hugging Face hub, or raises
            DownloadError; for families that have rows with `hub`.
    """

    def from_url(ckpt: str, refresh: bool = False, **kwargs: Any) -> Any:
        return local(ckpt=str(download(ckpt, refresh=refresh)), **kwargs)

    def from_gdriveid(ckpt: str, refresh: bool = False, **kwargs: Any) -> Any:
        return local(ckpt=gdriveids_to_filepaths(ckpt, refresh=refresh), **kwargs)

    from_url.__doc__ = f"The model from the URL (or path) `ckpt`; `{local.__name__}` takes the same options."
    from_gdriveid.__doc__ = (
        f"The model from the file that Google Drive keeps under the id `ckpt`; see `{local.__name__}`."
    )
    entries = {
        f"{upstream}_url": from_url,
        f"{upstream}_custom": from_url,
        f"{upstream}_gdriveid": from_gdriveid,
    }
    for row in table():
        if row.upstream == upstream:
            entries |= {name: _named(row, local, from_hub) for name in row.names}
    for name, entry in entries.items():
        entry.__module__ = local.__module__
        entry.__name__ = entry.__qualname__ = name
    return entries


def _named(row: Checkpoint, local: Entry, from_hub: Entry | None) -> Entry:
    def entry(ckpt: str | None = None, refresh: bool = False, **kwargs: Any) -> Any:
        if ckpt is not None:  # a file of the user's replaces the published one, and nothing is downloaded
            return local(ckpt=ckpt, **kwargs)
        if row.hub is not None:
            try:
                return from_hub(repository=row.hub, refresh=refresh, **kwargs)
            except DownloadError as error:
                if row.url is None:
                    raise
                print(f"{error}\nTrying the original file of {row.name} instead.", file=sys.stderr)
        given = {name: value for name, value in kwargs.items() if value is not None}
        return local(**{**row.files(refresh), **given})

    entry.__doc__ = f"The published checkpoint {row.name} ({row.hub or row.url}), or the local file `ckpt`."
    return entry
