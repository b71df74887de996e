"""The table of published checkpoints and the hub entries made from it."""

import http.server
import threading
from functools import partial
from pathlib import Path

import pytest
import torch

from s3prl import hub
from s3prl.upstream import checkpoints, entries
from s3prl.utility import fetch
from s3prl.utility.download import DownloadError
from s3prl.utility.errors import UserError


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "model.ckpt").write_bytes(b"weights")
    (folder / "model.cfg").write_bytes(b"config")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("S3PRL_OFFLINE", raising=False)
    monkeypatch.setattr(fetch, "PATIENCE", 0.01)


def built(ckpt, model_config=None, **options):
    return {"ckpt": ckpt, "model_config": model_config, **options}


def entries_of(row, from_hub=None, monkeypatch=None):
    monkeypatch.setattr(entries, "table", lambda: (row,))
    return entries.checkpoint_entries(row.upstream, built, from_hub)


def test_every_row_has_names_of_its_own_and_belongs_to_a_family_of_the_hub():
    names = [name for row in checkpoints.table() for name in row.names]
    assert len(names) == len(set(names))
    assert set(names) <= set(hub.options())
    for row in checkpoints.table():
        assert row.sha256 is None or len(row.sha256) == 64
        assert all(url.startswith("https://") for url in (row.url, *row.mirrors) if url)


def test_names_and_aliases_find_the_same_row():
    assert checkpoints.find("tera_960hr") is checkpoints.find("tera")
    with pytest.raises(UserError, match="Did you mean 'tera_960hr'"):
        checkpoints.find("tera_960h")


def test_a_published_name_downloads_once_and_builds_from_the_file(server, monkeypatch):
    row = checkpoints.Checkpoint(
        "toy", "toyfam", ("toy_alias",), f"{server}/model.ckpt", model_config=f"{server}/model.cfg"
    )
    made = entries_of(row, monkeypatch=monkeypatch)
    assert set(made) == {"toy", "toy_alias", "toyfam_url", "toyfam_custom", "toyfam_gdriveid"}
    assert not row.cached
    result = made["toy_alias"](ckpt=None, model_config=None, refresh=False)
    contents = [Path(result[name]).read_bytes() for name in ("ckpt", "model_config")]
    assert contents == [b"weights", b"config"]
    assert row.cached


def test_a_local_file_goes_before_the_published_one_and_nothing_is_downloaded(monkeypatch):
    row = checkpoints.Checkpoint("toy", "toyfam", (), "http://127.0.0.1:9/nothing")
    made = entries_of(row, monkeypatch=monkeypatch)
    assert made["toy"](ckpt="mine.ckpt", refresh=False)["ckpt"] == "mine.ckpt"


def test_a_url_entry_takes_a_url(server, monkeypatch):
    row = checkpoints.Checkpoint("toy", "toyfam", (), "https://example.org/x")
    made = entries_of(row, monkeypatch=monkeypatch)
    path = made["toyfam_url"](ckpt=f"{server}/model.ckpt")["ckpt"]
    assert Path(path).read_bytes() == b"weights"


def test_dead_links_are_named_with_the_alias_and_the_way_out(server, monkeypatch):
    row = checkpoints.Checkpoint("toy", "toyfam", (), f"{server}/gone", (f"{server}/gone_too",))
    with pytest.raises(DownloadError) as caught:
        entries_of(row, monkeypatch=monkeypatch)["toy"]()
    for words in ("toy", f"{server}/gone", f"{server}/gone_too", "-k FILE"):
        assert words in str(caught.value)


def test_a_mirror_is_tried_when_the_first_address_is_dead(server, monkeypatch):
    row = checkpoints.Checkpoint("toy", "toyfam", (), f"{server}/gone", (f"{server}/model.ckpt",))
    assert entries_of(row, monkeypatch=monkeypatch)["toy"]()["ckpt"]


def test_a_file_with_another_hash_than_the_table_says_is_refused(server, monkeypatch):
    row = checkpoints.Checkpoint("toy", "toyfam", (), f"{server}/model.ckpt", sha256="0" * 64)
    with pytest.raises(DownloadError, match="SHA-256"):
        entries_of(row, monkeypatch=monkeypatch)["toy"]()


def test_offline_the_message_says_which_file_to_put_where(monkeypatch):
    monkeypatch.setenv("S3PRL_OFFLINE", "1")
    row = checkpoints.Checkpoint("toy", "toyfam", (), "https://example.org/toy.ckpt")
    with pytest.raises(DownloadError, match=r"toy is not on this machine.*https://example.org/toy\.ckpt"):
        entries_of(row, monkeypatch=monkeypatch)["toy"]()


def test_the_original_file_is_tried_when_the_hub_cannot_be_reached(server, monkeypatch, capsys):
    def unreachable(repository, refresh, **options):
        raise DownloadError(f"{repository} cannot be reached")

    row = checkpoints.Checkpoint("toy", "toyfam", (), f"{server}/model.ckpt", hub="organisation/toy")
    assert entries_of(row, unreachable, monkeypatch)["toy"]()["ckpt"]
    assert "organisation/toy cannot be reached" in capsys.readouterr().err
    only_hub = checkpoints.Checkpoint("toy", "toyfam", hub="organisation/toy")
    with pytest.raises(DownloadError):
        entries_of(only_hub, unreachable, monkeypatch)["toy"]()


def test_torch_hub_shows_what_an_entry_is():
    entry = hub.get("tera_100hr")
    assert entry.__name__ == "tera_100hr" and "tera_100hr" in entry.__doc__
