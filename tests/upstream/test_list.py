"""`python -m s3prl.upstream.list`: every name in a table, and whether published files are still there."""

import http.server
import os
import subprocess
import sys
import threading

import pytest
import torch
from conftest import ROOT

from s3prl import hub
from s3prl.upstream import list as listing
from s3prl.upstream.checkpoints import Checkpoint
from s3prl.upstream.tools.links import flaws, links_of
from s3prl.utility.download import cache_path

CONTENT = b"weights"


class Handler(http.server.BaseHTTPRequestHandler):
    """Has /here.pt, /moved.pt (elsewhere), /page, /no-head.pt (only GET), /busy.pt (once); nothing else."""

    asked = ()

    def do_HEAD(self):
        busy = self.path == "/busy.pt" and self.path not in type(self).asked
        type(self).asked += (self.path,)
        if busy:
            self.send_error(503)
        elif self.path == "/moved.pt":
            self.send_response(302)
            self.send_header("Location", "/here.pt")
            self.end_headers()
        elif self.path == "/no-head.pt" and self.command == "HEAD":
            self.send_error(405)
        elif self.path in ("/here.pt", "/no-head.pt", "/busy.pt", "/page", "/org/model"):
            self.send_response(200)
            page = self.path in ("/page", "/org/model")
            self.send_header("Content-Type", "text/html" if page else "application/octet-stream")
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
        else:
            self.send_error(404)

    def do_GET(self):
        self.do_HEAD()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    Handler.asked = ()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield address
        running.shutdown()


def test_the_table_has_every_name_of_the_hub(capsys):
    assert listing.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines if line} >= {"name", *hub.options()}
    assert "computed, no file" in next(line for line in lines if line.startswith("fbank "))
    assert next(line for line in lines if line.startswith("fbank ")).split()[1:4] == ["160", "240", "1"]


def test_names_are_filtered_by_parts_and_patterns(capsys):
    def listed(*patterns):
        assert listing.main(list(patterns)) == 0
        return [line.split()[0] for line in capsys.readouterr().out.split("\n\n")[0].splitlines()[1:]]

    assert listed("fbank_", "mfc") == ["fbank_no_cmvn", "mfcc"]
    assert listed("mf*", "*_mag") == ["mfcc", "stft_mag"]
    assert set(listed("wav")) >= {"vq_wav2vec", "wav2vec2_local", "wavlm"}
    assert listing.main(["fbnak"]) == 2
    assert "No upstream is called like 'fbnak'. Did you mean 'fbank'?" in capsys.readouterr().err


def test_a_published_file_is_shown_with_size_licence_source_and_cache(monkeypatch, tmp_path):
    url = "https://example.org/fbank.ckpt"
    row = Checkpoint("fbank", "baseline", ("mfcc",), url=url, size=94_371_840, licence="MIT")
    monkeypatch.setattr(listing, "table", lambda: (row,))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    rows = {cells[0]: cells for cells in listing.rows()}
    assert rows["fbank"] == ("fbank", "-", "-", "-", "90 MiB", "no", "MIT", url)
    assert rows["mfcc"][-1] == "= fbank"
    cache_path(url).parent.mkdir(parents=True)
    cache_path(url).write_bytes(CONTENT)
    assert {cells[0]: cells for cells in listing.rows()}["fbank"][5] == "yes"


def test_a_repository_of_the_hugging_face_hub_is_cached_once_its_weights_are_there(tmp_path):
    code = (
        "from s3prl.upstream import list as listing; from s3prl.upstream.checkpoints import Checkpoint\n"
        "listing.table = lambda: (Checkpoint('fbank', 'baseline', hub='org/model'),)\n"
        "print(next(row for row in listing.rows() if row[0] == 'fbank')[5:])"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", code]

    def listed():
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True).stdout

    assert listed().strip() == "('no', '-', 'hub: org/model')"
    repository = tmp_path / "models--org--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("1234")
    (repository / "snapshots/1234").mkdir(parents=True)
    (repository / "snapshots/1234/model.safetensors").write_bytes(CONTENT)
    assert listed().strip() == "('yes', '-', 'hub: org/model')"


def test_the_module_runs_in_the_root_of_a_clone():
    result = subprocess.run(
        [sys.executable, "-m", "s3prl.upstream.list"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "stft_mag" in result.stdout


def test_links_that_answer_are_no_problem(server):
    rows = [
        Checkpoint("one", "x", url=f"{server}/here.pt", mirrors=(f"{server}/moved.pt",), size=len(CONTENT)),
        Checkpoint("two", "x", url=f"{server}/no-head.pt", model_config=f"{server}/busy.pt"),
        Checkpoint("three", "x", hub="org/model"),
    ]
    links = links_of(rows)
    assert len(links) == 5
    assert flaws(links, timeout=10) == [None] * 5


def test_a_dead_link_is_named_and_gives_exit_code_1(server, monkeypatch, capsys):
    rows = [
        Checkpoint("fine", "x", url=f"{server}/here.pt"),
        Checkpoint("gone", "x", url=f"{server}/gone.pt"),
        Checkpoint("page", "x", url=f"{server}/page"),
        Checkpoint("changed", "x", url=f"{server}/moved.pt", size=1),
        Checkpoint("nobody", "x", url="http://127.0.0.1:1/closed.pt"),
    ]
    monkeypatch.setattr(listing, "table", lambda: tuple(rows))
    assert listing.main(["--check-links", "--timeout", "10"]) == 1
    out = capsys.readouterr().out
    assert f"dead: gone: {server}/gone.pt (HTTP 404 Not Found)" in out
    assert "a web page, not a file" in out
    assert "has 7 bytes and should have 1" in out
    assert "5 addresses asked, 4 dead" in out
    monkeypatch.setattr(listing, "table", lambda: (rows[0],))
    assert listing.main(["--check-links"]) == 0
    row = Checkpoint("tera", "tera", ("tera_960hr",), url=f"{server}/gone.pt")
    monkeypatch.setattr(listing, "table", lambda: (row,))
    assert listing.main(["--check_links", "fbank"]) == 0
    assert listing.main(["--check_links", "tera"]) == 1
