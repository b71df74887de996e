"""Whether published files are still where the table says, asked by HEAD requests."""

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from s3prl.utility.fetch import TRANSIENT

from ..checkpoints import Checkpoint

AT_ONCE = 16  # requests
ATTEMPTS = 2  # a busy server is asked once more
NO_HEAD = (403, 405, 501)  # what servers answer that only know GET


@dataclass(frozen=True)
class Link:
    """An address of the table."""

    url: str
    name: str  # of the checkpoint
    size: int | None = None  # bytes
    page: bool = False  # a web page about a repository, not a file


def links_of(checkpoints: Sequence[Checkpoint]) -> list[Link]:
    """Every address once: files, their mirrors and configurations, repositories of the hub."""
    found: dict[str, Link] = {}
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    for row in checkpoints:
        links = [Link(url, row.name, row.size) for url in (row.url, *row.mirrors) if url is not None]
        if row.model_config is not None:
            links.append(Link(row.model_config, row.name))
        if row.hub is not None:
            links.append(Link(f"{hub}/{row.hub}", row.name, page=True))
        for link in links:
            found.setdefault(link.url, link)
    return list(found.values())


def flaws(links: Sequence[Link], timeout: float = 30.0) -> list[str | None]:
    """For each link, in order, what is wrong with the answer, or None when it still has what it should.

    Args:
        timeout: seconds to wait for an answer.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda link: _flaw(link, timeout), links))


def _flaw(link: Link, timeout: float) -> str | None:
    method, flaw = "HEAD", None
    for _ in range(ATTEMPTS):
        try:
            return _ask(link, method, timeout)
        except urllib.error.HTTPError as error:
            error.close()
            flaw = f"HTTP {error.code} {error.reason}"
            if error.code in NO_HEAD:
                method = "GET"
            elif error.code not in TRANSIENT:
                return flaw
        except urllib.error.URLError as error:
            flaw = str(error.reason)
        except (OSError, http.client.HTTPException, ValueError) as error:
            flaw = str(error) or type(error).__name__
    return flaw


def _ask(link: Link, method: str, timeout: float) -> str | None:
    headers = {"User-Agent": "s3prl", "Accept-Encoding": "identity"}
    request = urllib.request.Request(link.url, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        length = answer.headers.get("Content-Length")
        if link.page:
            return None
        if answer.headers.get_content_type() == "text/html":
            return "a web page, not a file"
        if link.size is not None and length is not None and int(length) != link.size:
            return f"it has {length} bytes and should have {link.size}"
        return None
