"""Files from the network into the cache, once: resumed after a break, checked, and shared between processes.

The cache is the one of the public S3PRL, `<torch hub folder>/s3prl_cache/<sha256 of the URL>`, so what it
downloaded is found. With S3PRL_OFFLINE=1 (or HF_HUB_OFFLINE=1) nothing is fetched.
"""

import hashlib
import os
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from s3prl.utility import fetch
from s3prl.utility.errors import UserError, free_space
from s3prl.utility.locks import exclusive

OFFLINE = ("S3PRL_OFFLINE", "HF_HUB_OFFLINE")


class DownloadError(UserError):
    """A file that could not be downloaded; the message says from where, and where to put it by hand."""


def hub_dir() -> Path:
    """The folder of torch.hub: that of `set_dir`, or $TORCH_HOME/hub, or ~/.cache/torch/hub."""
    if "torch.hub" in sys.modules:
        return Path(sys.modules["torch.hub"].get_dir())
    return usual_hub_dir()


def usual_hub_dir() -> Path:
    """The folder of torch.hub unless another one was chosen for this process."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return Path(os.getenv("TORCH_HOME", f"{cache}/torch")).expanduser() / "hub"


def set_dir(folder: str | os.PathLike) -> None:
    """Make `folder` the torch.hub folder of this process (the --cache_dir option); ours lies inside it."""
    import torch.hub

    torch.hub.set_dir(Path(folder).expanduser())


@contextmanager
def downloads_in(folder: str | os.PathLike | None) -> Iterator[None]:
    """For a while, `folder` (the --cache_dir option) is the torch.hub folder; None changes nothing."""
    import torch.hub

    before = torch.hub._hub_dir  # not get_dir(): None follows the environment
    if folder is not None:
        set_dir(folder)
    try:
        yield
    finally:
        torch.hub._hub_dir = before


def forbidden_by() -> str | None:
    """The environment variable that forbids fetching, if one does."""
    set_ones = (name for name in OFFLINE if os.getenv(name, "").lower() in ("1", "true", "yes", "on"))
    return next(set_ones, None)


def cache_path(name: str) -> Path:
    """Where the file of this URL (or Google Drive id) lies once it is downloaded."""
    return hub_dir() / "s3prl_cache" / hashlib.sha256(name.encode()).hexdigest()


def download(
    url: str,
    dest: str | os.PathLike | None = None,
    sha256: str | None = None,
    size: int | None = None,
    refresh: bool = False,
    mirrors: Sequence[str] = (),
    name: str | None = None,
    instead: str = "-k FILE",
) -> Path:
    """The local file of `url`, fetched from it or from one of its `mirrors` unless it is there already.

    `dest` is the file to write (an existing folder: inside it, under the URL's name); without it, the cache.
    `sha256` (hexadecimal) and `size` (bytes) are checked on what arrives and on what is found. `refresh`
    fetches again and keeps the old file until the new one is complete. A path or a file:// URL is checked and
    returned as it is. Messages call the file `name` and say where a local one can be given `instead`.
    Raises DownloadError.
    """
    wanted = _Wanted(name or url, (url, *mirrors), sha256.lower() if sha256 else None, size, instead)
    if (local := _local_path(url)) is not None:
        return _checked_local(local, wanted)
    if dest is None:
        path = cache_path(url)
    else:
        path = Path(dest).expanduser()
        if path.is_dir():
            path /= Path(urllib.parse.urlsplit(url).path).name or "download"
    return _ensured(path, wanted, refresh)


def urls_to_filepaths(
    *urls: str, refresh: bool = False, download: bool = True, agent: str | None = None
) -> str | list[str]:
    """Cached paths of `urls`: one path for one URL, a list for several. Raises DownloadError.

    The door that upstreams written for the public S3PRL use; `download=False` only tells where the files
    would be, and `agent` (its choice between wget and gdown) has no meaning here.
    """
    paths = [_cached(url, url, refresh, download) for url in urls]
    return paths[0] if len(paths) == 1 else paths


def gdriveids_to_filepaths(*ids: str, refresh: bool = False) -> str | list[str]:
    """Cached paths of the files that Google Drive keeps under `ids`. Raises DownloadError."""
    paths = [_cached(name, fetch.GOOGLE_DRIVE.format(name), refresh, True) for name in ids]
    return paths[0] if len(paths) == 1 else paths


_urls_to_filepaths = urls_to_filepaths
_gdriveids_to_filepaths = gdriveids_to_filepaths


@dataclass
class _Wanted:
    name: str  # as the user gave it
    urls: tuple[str, ...]  # to try in turn
    sha256: str | None = None
    size: int | None = None
    instead: str = "-k FILE"

    def flaw(self, path: Path) -> str | None:
        """What is wrong with the file at `path`, or None."""
        size = path.stat().st_size
        if size == 0:
            return "it is empty"
        if self.size is not None and size != self.size:
            return f"it has {size} bytes and should have {self.size}"
        if self.sha256 is not None and (found := _sha256(path)) != self.sha256:
            return f"its SHA-256 is {found} and should be {self.sha256}"
        return None


def _cached(name: str, url: str, refresh: bool, fetching: bool) -> str:
    local = _local_path(url)
    if local is not None:
        return str(_checked_local(local, _Wanted(url, (url,))))
    path = cache_path(name)
    return str(_ensured(path, _Wanted(name, (url,)), refresh) if fetching else path)


def _local_path(url: str) -> Path | None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path))
    if parts.scheme in ("http", "https"):
        return None
    if "://" in url:
        raise DownloadError(
            f"{url}: only http, https and file URLs are fetched. Download it and pass the file."
        )
    return Path(url).expanduser()


def _checked_local(path: Path, wanted: _Wanted) -> Path:
    if not path.is_file():
        raise DownloadError(f"{path} does not exist. Pass an existing file or a URL.")
    if flaw := wanted.flaw(path):
        raise DownloadError(f"{path} is not the file wanted: {flaw}. Download it again.")
    return path


def _ensured(path: Path, wanted: _Wanted, refresh: bool) -> Path:
    """`path` as a complete file; one process fetches it, the others wait for that one."""
    before = _stamp(path)
    flaw = wanted.flaw(path) if before else "it is not there"
    if flaw is None and not refresh:
        return path
    if (variable := forbidden_by()) is not None:
        if flaw is None:
            return path
        raise DownloadError(
            f"{wanted.name} is not on this machine and {variable} forbids fetching it. "
            f"On a machine with a network, download it from {' or '.join(wanted.urls)}, "
            f"and put it here as the file {path.absolute()} ({flaw} now)."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(Path(f"{path}.lock"), f"downloads {path}") as ending:
            # Who waited for another process takes what that one fetched.
            if _stamp(path) == before or wanted.flaw(path):
                _fetch_any(path, path.with_name(f"{path.name}{ending}.part"), wanted)
    except OSError as error:
        raise DownloadError(
            f"{wanted.name} could not be written to {path}: {error.strerror or error} ({free_space(path)}). "
            "Free some space, or choose another cache folder with --cache_dir."
        ) from error
    return path


def _fetch_any(path: Path, part: Path, wanted: _Wanted) -> None:
    """Fetch from the first URL that gives the file wanted; `path` changes only then."""
    failures = []
    for url in wanted.urls:
        print(f"Downloading {url} to {path}", file=sys.stderr)
        try:
            resumed = fetch.fetch(url, part, wanted.size)
            flaw = wanted.flaw(part)
            if flaw and resumed:  # perhaps two versions of the file were joined
                fetch.discard(part)
                fetch.fetch(url, part, wanted.size)
                flaw = wanted.flaw(part)
        except fetch.FetchError as failure:
            failures.append(f"  {url}: {failure}")
            continue
        if flaw is None:
            part.replace(path)
            fetch.discard(part)
            return
        fetch.discard(part)
        failures.append(f"  {url}: what arrived is not the file wanted: {flaw}")
    raise DownloadError(
        f"{wanted.name} could not be downloaded:\n" + "\n".join(failures) + "\n"
        "Check the network, or download it elsewhere and either pass the local file in place of the URL "
        f"({wanted.instead}) or put it here as the file {path.absolute()}"
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file is replaced; None where there is none."""
    if not path.is_file():
        return None
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
