"""One file from one URL by HTTP: resumed after a break, retried while it may help, Google Drive included."""

import html.parser
import http.client
import http.cookiejar
import json
import os
import re
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

GOOGLE_DRIVE = "https://drive.google.com/uc?export=download&id={}"
ATTEMPTS = 5  # in a row without a single new byte
PATIENCE = 1.0  # seconds before the second attempt, doubled each time
TIMEOUT = 60  # seconds without a byte
BLOCK = 1 << 20  # bytes
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # HTTP codes that a second try may mend


class FetchError(Exception):
    """This URL did not give the file; the message says why."""


class _Interrupted(FetchError):
    """The connection broke or the server was busy: what has arrived is kept, and trying again may help."""


def fetch(url: str, part: Path, size: int | None = None) -> bool:
    """Write the file behind `url` to `part`, going on where an interrupted call left it.

    Bytes of an earlier call are used only if the server says that the file is still the same (If-Range).
    Returns whether there were such bytes. Raises FetchError; `part` then stays if going on may help.
    """
    resumed = False
    failures = 0
    while True:
        before = _size(part)
        try:
            return _fetch_once(url, part, size) or resumed
        except _Interrupted as failure:
            failures = failures + 1 if _size(part) <= before else 1
            if failures >= ATTEMPTS:
                raise
            resumed = resumed or before > 0
            wait = PATIENCE * 2 ** (failures - 1)
            print(f"{url}: {failure}; trying again in {wait:g} s", file=sys.stderr)
            time.sleep(wait)
        except FetchError:
            discard(part)
            if before == 0:
                raise  # else once more from the beginning: it may be the part that does not fit


def discard(part: Path) -> None:
    """Forget what an interrupted `fetch` kept."""
    part.unlink(missing_ok=True)
    _note_of(part).unlink(missing_ok=True)


def _fetch_once(url: str, part: Path, size: int | None) -> bool:
    have, note = _size(part), _read_note(part, url)
    if have and have == note.get("total"):
        return True  # complete, but the process ended before it could say so
    headers = (
        {"Range": f"bytes={have}-", "If-Range": note["validator"]} if have and note.get("validator") else {}
    )
    with _open(url, headers) as response:
        start, total = _extent(response)
        if start != (have if headers else 0) and start != 0:
            raise FetchError("the server answered with another part of the file than the one asked for")
        if size is not None and total is not None and total != size:
            raise FetchError(f"the server offers {total} bytes and the file should have {size}")
        _write_note(part, url, response, total)
        name = Path(urllib.parse.urlsplit(url).path).name or part.name
        with part.open("ab" if start else "wb") as file:
            try:
                _copy(response, file, start, total, name)
            finally:
                file.flush()
                os.fsync(file.fileno())
        if total is not None and _size(part) != total:
            raise _Interrupted(f"the connection ended after {_size(part)} of {total} bytes")
        return start > 0


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """First byte of what the server sends, and the bytes of the whole file if it says so."""
    if response.status == 206:
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not found:
            raise FetchError("the server sent a part of the file without saying which")
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length")
    return 0, int(length) if length else None


def _copy(
    response: http.client.HTTPResponse, file: IO[bytes], start: int, total: int | None, name: str
) -> None:
    from s3prl.utility.progress import Progress

    with Progress(total, name[:40], "B", done=start, scaled=True) as progress:
        while True:
            try:
                block = response.read1(BLOCK)  # what is there now, so that little is lost in a kill
            except (OSError, http.client.HTTPException) as error:
                raise _Interrupted(f"the connection broke ({error or type(error).__name__})") from error
            if not block:
                return
            file.write(block)
            progress.update(len(block))


def _open(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """The response that carries the file, through Google Drive's question about large files if it asks."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    headers = {"User-Agent": "s3prl", "Accept-Encoding": "identity", **headers}
    address = _direct(url)
    for _ in range(3):
        response = _answer(opener, urllib.request.Request(address, headers=headers))
        if response.headers.get_content_type() != "text/html" or address.lower().endswith((".htm", ".html")):
            return response
        with response:
            page = response.read(BLOCK).decode("utf-8", "replace")
        following = _confirmed(page, address)
        if following is None:
            break
        address = following
    raise FetchError(f"the server answered with a web page, not a file ({_title(page)})")


def _answer(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request
) -> http.client.HTTPResponse:
    try:
        return opener.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        kind = _Interrupted if error.code in TRANSIENT else FetchError
        raise kind(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        reason = error.reason
        gone = isinstance(reason, (ConnectionRefusedError, ssl.SSLCertVerificationError)) or (
            isinstance(reason, socket.gaierror) and reason.errno != socket.EAI_AGAIN
        )
        raise (FetchError if gone else _Interrupted)(str(reason)) from error
    except http.client.InvalidURL as error:
        raise FetchError(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


def _direct(url: str) -> str:
    """The address of the file itself where people pass the address of the page about it."""
    parts = urllib.parse.urlsplit(url)
    if parts.netloc == "drive.google.com" and (found := re.search(r"/file/d/([\w-]+)|[?&]id=([\w-]+)", url)):
        return GOOGLE_DRIVE.format(found[1] or found[2])
    if parts.netloc.endswith("dropbox.com"):
        query = dict(urllib.parse.parse_qsl(parts.query)) | {"dl": "1"}
        return urllib.parse.urlunsplit(parts._replace(query=urllib.parse.urlencode(query)))
    if parts.netloc == "huggingface.co":
        return url.replace("/blob/", "/resolve/", 1)
    return url


class _Form(html.parser.HTMLParser):
    """The form (or, in older pages, the link) behind `Download anyway` on Google Drive's warning page."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.link: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if tag == "form" and values.get("id") == "download-form":
            self.action = values.get("action")
        elif tag == "input" and self.action is not None and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")
        elif tag == "a" and "confirm=" in values.get("href", ""):
            self.link = values["href"]


def _confirmed(page: str, address: str) -> str | None:
    """The address that confirms the download `page` asks about, or None when it asks nothing."""
    form = _Form()
    form.feed(page)
    if form.action is not None:
        base = urllib.parse.urljoin(address, form.action)
        return f"{base}{'&' if '?' in base else '?'}{urllib.parse.urlencode(form.fields)}"
    return urllib.parse.urljoin(address, form.link) if form.link else None


def _title(page: str) -> str:
    found = re.search(r"<title[^>]*>(.*?)</title>", page, re.S | re.I)
    return " ".join(found[1].split())[:100] if found else "without a title"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path, url: str) -> dict:
    """What is known of the file that `part` is a beginning of; nothing if that was another URL's."""
    try:
        note = json.loads(_note_of(part).read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) and note.get("url") == url else {}


def _write_note(part: Path, url: str, response: http.client.HTTPResponse, total: int | None) -> None:
    """Keep what tells this version of the file from another; a weak ETag does not."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    _note_of(part).write_text(json.dumps({"url": url, "validator": validator, "total": total}))
