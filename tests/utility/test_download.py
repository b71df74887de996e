"""Downloads against a local server that breaks, lies, redirects and asks questions, as real ones do."""

import errno
import fcntl
import hashlib
import http.server
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from s3prl.utility import fetch
from s3prl.utility.download import (
    DownloadError,
    _gdriveids_to_filepaths,
    _urls_to_filepaths,
    cache_path,
    download,
    hub_dir,
)

ROOT = Path(__file__).parents[2]
CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUESTION = """<html><head><title>Google Drive - Virus scan warning</title></head><body>
<form id="download-form" action="/confirmed" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="{id}"><input type="hidden" name="confirm" value="t&amp;1">
</form></body></html>"""
OLD_QUESTION = (
    '<html><a id="uc-download-link" href="/uc?export=download&amp;confirm=Xy1&amp;id={id}">go</a></html>'
)


class Handler(http.server.BaseHTTPRequestHandler):
    """What a path does is its first part: /plain/x, /cut/x (breaks off), /busy/x (503 first), ..."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        kind = self.path.strip("/").split("/")[0].split("?")[0]
        with server.lock:
            count = server.count[self.path] = server.count.get(self.path, 0) + 1
            server.requests.append((self.path, dict(self.headers)))
        if kind in ("plain", "cut", "changed", "slow", "weak"):
            self.send_file(kind, count)
        elif kind == "busy" and count < 3:
            self.send_error(503)
        elif kind == "busy":
            self.send_file("plain", count)
        elif kind == "page":
            self.send_page("<html><title>Log in,\n please</title></html>")
        elif kind == "uc":
            self.send_drive()
        elif (
            kind == "confirmed"
            and "confirm=t%261" in self.path
            and "seen=1" in self.headers.get("Cookie", "")
        ):
            self.send_file("plain", count)
        else:
            self.send_error(404)

    def send_drive(self):
        file_id = self.path.split("id=")[-1]
        if file_id == "small" or "confirm=Xy1" in self.path:
            self.send_file("plain", 1)
        elif file_id == "quota":
            self.send_page("<html><title>Google Drive - Quota exceeded</title></html>")
        else:
            self.send_page((OLD_QUESTION if file_id == "old" else QUESTION).format(id=file_id))

    def send_page(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Set-Cookie", "seen=1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, kind, count):
        etag = f'"v{count}"' if kind == "changed" else 'W/"v"' if kind == "weak" else '"v"'
        content = CONTENT if kind != "changed" else bytes([count]) * len(CONTENT)
        start = 0
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if kind in ("cut", "changed", "weak") and count < 3:
            self.wfile.write(content[start : start + 100_000])
            self.wfile.flush()
            self.connection.close()
        elif kind == "slow":
            for place in range(start, len(content), 10_000):
                self.wfile.write(content[place : place + 10_000])
                time.sleep(0.03)
        else:
            self.wfile.write(content[start:])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that are killed on purpose


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def server():
    server = Server(("127.0.0.1", 0), Handler)
    server.requests, server.count, server.lock = [], {}, threading.Lock()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    if "torch.hub" in sys.modules:
        monkeypatch.setattr(sys.modules["torch.hub"], "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("S3PRL_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(fetch, "PATIENCE", 0.01)
    return tmp_path / "torch" / "hub" / "s3prl_cache"


def test_a_file_is_fetched_once_and_lies_where_the_public_s3prl_keeps_it(server, cache):
    url = f"{server.url}/plain/model.ckpt"
    path = download(url)
    assert path == cache / hashlib.sha256(url.encode()).hexdigest()
    assert path.read_bytes() == CONTENT
    assert download(url) == path and len(server.requests) == 1
    assert {item.name for item in cache.iterdir()} == {path.name, f"{path.name}.lock"}


def test_a_file_that_the_public_s3prl_cached_is_found(server, cache):
    cache.mkdir(parents=True)
    url = f"{server.url}/plain/model.ckpt"
    (cache / hashlib.sha256(url.encode()).hexdigest()).write_bytes(b"old weights")
    assert Path(_urls_to_filepaths(url)).read_bytes() == b"old weights"
    assert not server.requests


def test_an_empty_file_that_a_failed_wget_left_is_not_taken_for_the_model(server, cache):
    cache.mkdir(parents=True)
    url = f"{server.url}/plain/model.ckpt"
    cache_path(url).touch()
    assert download(url).read_bytes() == CONTENT


def test_the_doors_of_third_party_plug_ins(server):
    one, two = f"{server.url}/plain/one", f"{server.url}/plain/two"
    first = _urls_to_filepaths(one)
    assert isinstance(first, str) and Path(first).read_bytes() == CONTENT
    assert _urls_to_filepaths(one, two, refresh=False, agent="wget") == [first, str(cache_path(two))]
    assert _urls_to_filepaths(f"{server.url}/plain/three", download=False) == str(
        cache_path(f"{server.url}/plain/three")
    )
    assert not cache_path(f"{server.url}/plain/three").exists()


RULE_OF_TORCH_HUB = """
import os, sys
from s3prl.utility.download import hub_dir, set_dir
def in_turn(ask):
    answers = []
    for variables in ({"TORCH_HOME": "~/models"}, {"XDG_CACHE_HOME": "/x"}, {}):
        os.environ.pop("TORCH_HOME", None), os.environ.pop("XDG_CACHE_HOME", None)
        os.environ.update(variables)
        answers.append(str(ask()))
    return answers
ours = in_turn(hub_dir)
assert "torch" not in sys.modules
import torch.hub
assert ours == in_turn(torch.hub.get_dir) == in_turn(hub_dir), ours
set_dir("elsewhere")
assert str(hub_dir()) == torch.hub.get_dir() == "elsewhere"
"""


def test_the_cache_folder_follows_the_rule_of_torch_hub():
    """With and without torch loaded, and after set_dir (the --cache_dir option)."""
    assert subprocess.run([sys.executable, "-c", RULE_OF_TORCH_HUB], cwd=ROOT, check=False).returncode == 0


def test_a_destination_may_be_a_file_or_a_folder(server, tmp_path):
    url = f"{server.url}/plain/data.tar.gz?raw=1"
    assert download(url, tmp_path / "deep" / "mine.tgz") == tmp_path / "deep" / "mine.tgz"
    assert download(url, tmp_path) == tmp_path / "data.tar.gz"
    assert (tmp_path / "data.tar.gz").read_bytes() == CONTENT


def test_paths_and_file_urls_pass_through(tmp_path):
    path = tmp_path / "a file.ckpt"
    path.write_bytes(CONTENT)
    assert download(str(path)) == download(path.as_uri(), sha256=SHA256, size=len(CONTENT)) == path
    assert _urls_to_filepaths(str(path)) == str(path)
    with pytest.raises(DownloadError, match=r"absent\.ckpt does not exist"):
        download(str(tmp_path / "absent.ckpt"))
    with pytest.raises(DownloadError, match="should have 7"):
        download(str(path), size=7)
    with pytest.raises(DownloadError, match="only http, https and file"):
        download("s3://bucket/model.ckpt")


def test_a_broken_connection_is_resumed_where_it_broke(server):
    assert download(f"{server.url}/cut/model.ckpt", sha256=SHA256).read_bytes() == CONTENT
    ranges = [headers.get("Range") for _, headers in server.requests]
    assert ranges == [None, "bytes=100000-", "bytes=200000-"]


def test_a_killed_download_is_resumed_by_the_next_one(server):
    url = f"{server.url}/slow/model.ckpt"
    process = multiprocessing.get_context("spawn").Process(target=download, args=(url,))
    process.start()
    part = Path(f"{cache_path(url)}.part")
    wait_until(lambda: part.exists() and part.stat().st_size > 0)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    kept = part.stat().st_size
    assert 0 < kept < len(CONTENT) and not cache_path(url).exists()
    assert download(url).read_bytes() == CONTENT
    assert server.requests[-1][1]["Range"] == f"bytes={kept}-"


@pytest.mark.parametrize("kind", ["changed", "weak"])
def test_parts_of_two_versions_are_never_joined(server, kind):
    """The file changes on the server between two attempts, or the server cannot say that it did not."""
    content = download(f"{server.url}/{kind}/model.ckpt").read_bytes()
    assert content == (bytes([3]) * len(CONTENT) if kind == "changed" else CONTENT)


def test_a_part_that_does_not_belong_to_the_file_is_thrown_away(server):
    url = f"{server.url}/plain/model.ckpt"
    part = Path(f"{cache_path(url)}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(1000))
    Path(f"{part}.json").write_text(json.dumps({"url": url, "validator": '"v"', "total": len(CONTENT)}))
    assert download(url, sha256=SHA256).read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in server.requests] == ["bytes=1000-", None]


def test_a_busy_server_is_asked_again(server):
    assert download(f"{server.url}/busy/model.ckpt").read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_wrong_checksum_or_size_leaves_nothing_behind(server, cache):
    url = f"{server.url}/plain/model.ckpt"
    with pytest.raises(DownloadError, match=f"its SHA-256 is {SHA256} and should be {'0' * 64}"):
        download(url, sha256="0" * 64)
    with pytest.raises(DownloadError, match="offers 300000 bytes and the file should have 5"):
        download(url, size=5)
    assert [item.suffix for item in cache.iterdir()] == [".lock"]


def test_a_damaged_file_in_the_cache_is_fetched_again(server):
    url = f"{server.url}/plain/model.ckpt"
    path = download(url, sha256=SHA256)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert download(url, sha256=SHA256.upper()).read_bytes() == CONTENT


def test_a_dead_link_names_every_url_tried_and_the_way_out(server):
    url, mirror = f"{server.url}/gone/model.ckpt", "http://127.0.0.1:9/model.ckpt"
    with pytest.raises(DownloadError) as caught:
        download(url, mirrors=[mirror])
    message = str(caught.value)
    assert f"{url}: HTTP 404" in message and f"{mirror}: " in message and "refused" in message
    assert "-k FILE" in message and str(cache_path(url)) in message


def test_a_mirror_steps_in_and_the_cache_keeps_the_first_name(server):
    url = f"{server.url}/gone/model.ckpt"
    path = download(url, sha256=SHA256, mirrors=[f"{server.url}/page/x", f"{server.url}/plain/model.ckpt"])
    assert path == cache_path(url) and path.read_bytes() == CONTENT


def test_a_web_page_is_not_taken_for_a_checkpoint(server, cache):
    with pytest.raises(DownloadError, match=r"a web page, not a file \(Log in, please\)"):
        download(f"{server.url}/page/model.ckpt")
    assert not [item for item in cache.iterdir() if item.suffix != ".lock"]


def test_refresh_fetches_again_and_keeps_the_old_file_when_that_fails(server):
    url = f"{server.url}/plain/model.ckpt"
    path = download(url)
    path.write_bytes(b"old")
    assert download(url, refresh=True).read_bytes() == CONTENT
    gone = cache_path(f"{server.url}/gone/model.ckpt")
    gone.write_bytes(b"old")
    with pytest.raises(DownloadError):
        _urls_to_filepaths(f"{server.url}/gone/model.ckpt", refresh=True)
    assert gone.read_bytes() == b"old"


@pytest.mark.parametrize("variable", ["S3PRL_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_uses_the_cache_and_otherwise_says_which_file_to_put_where(server, monkeypatch, variable):
    have, lack = f"{server.url}/plain/have", f"{server.url}/plain/lack"
    path = download(have)
    monkeypatch.setenv(variable, "1")
    assert download(have) == download(have, refresh=True) == path
    with pytest.raises(DownloadError) as caught:
        download(lack)
    assert all(word in str(caught.value) for word in (variable, lack, str(cache_path(lack))))
    assert len(server.requests) == 1


@pytest.mark.parametrize("file_id", ["small", "large-1_x", "old"])
def test_google_drive_ids_pass_the_question_about_large_files(server, monkeypatch, file_id):
    monkeypatch.setattr(fetch, "GOOGLE_DRIVE", server.url + "/uc?export=download&id={}")
    path = _gdriveids_to_filepaths(file_id)
    assert path == str(cache_path(file_id)) and Path(path).read_bytes() == CONTENT


def test_google_drive_over_its_quota_is_told(server, monkeypatch):
    monkeypatch.setattr(fetch, "GOOGLE_DRIVE", server.url + "/uc?export=download&id={}")
    with pytest.raises(DownloadError, match="Quota exceeded"):
        _gdriveids_to_filepaths("quota")


@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("https://drive.google.com/file/d/1a-B_c/view?usp=sharing", fetch.GOOGLE_DRIVE.format("1a-B_c")),
        ("https://drive.google.com/open?id=1a-B_c", fetch.GOOGLE_DRIVE.format("1a-B_c")),
        ("https://www.dropbox.com/s/x1/states.ckpt?dl=0", "https://www.dropbox.com/s/x1/states.ckpt?dl=1"),
        ("https://huggingface.co/a/b/blob/main/c.pt", "https://huggingface.co/a/b/resolve/main/c.pt"),
        ("https://example.org/blob/c.pt?dl=0", "https://example.org/blob/c.pt?dl=0"),
    ],
)
def test_the_address_of_a_page_becomes_that_of_its_file(page, file):
    assert fetch._direct(page) == file


def test_two_processes_at_once_fetch_once(server):
    url = f"{server.url}/slow/model.ckpt"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=download, args=(url,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert cache_path(url).read_bytes() == CONTENT and len(server.requests) == 1


def test_two_threads_at_once_fetch_once(server):
    url = f"{server.url}/slow/model.ckpt"
    threads = [threading.Thread(target=download, args=(url,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache_path(url).read_bytes() == CONTENT and len(server.requests) == 1


def test_a_file_system_without_locks_still_gives_the_file(server, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    path = download(f"{server.url}/cut/model.ckpt")
    assert path.read_bytes() == CONTENT
    assert [item.suffix for item in path.parent.iterdir() if item != path] == [".lock"]


def fork_a_child_that_lives_on():
    if os.fork() == 0:
        signal.pause()
        os._exit(0)


def fetch_and_fork(url):
    """Stands for a training process whose data-loading workers were forked while it held the lock."""
    os.setpgrp()
    threading.Timer(0.2, fork_a_child_that_lives_on).start()
    download(url)


def test_a_killed_holder_leaves_no_dead_lock(server):
    """Also when a child, forked while the lock was held, is still alive."""
    url = f"{server.url}/slow/model.ckpt"
    process = multiprocessing.get_context("spawn").Process(target=fetch_and_fork, args=(url,))
    process.start()
    wait_until(lambda: server.requests)
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGKILL)
    try:
        fetched = ThreadPoolExecutor(1).submit(download, url)
        assert fetched.result(timeout=60).read_bytes() == CONTENT
        os.killpg(process.pid, 0)  # raises if the child was not there all the time
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()


def test_a_folder_that_cannot_be_written_is_a_clear_error(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"could not be written.*--cache_dir"):
        download(f"{server.url}/plain/x", tmp_path / "file" / "x")


def test_the_hub_folder_of_the_tests_is_their_own(tmp_path):
    assert hub_dir() == tmp_path / "torch" / "hub"
