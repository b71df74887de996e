"""The Hugging Face hub, in whose place a folder stands: upstreams from it, sharing on it."""

import shutil
import sys
import types

import pytest
from conftest import tiny

EXPERT = """
import helper
from s3prl.upstream.example.expert import UpstreamExpert as Base


class UpstreamExpert(Base):
    def __init__(self, ckpt, **kwargs):
        super().__init__(**kwargs)
        with open(ckpt) as file:
            assert file.read() == helper.EXPECTED
"""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in for the huggingface_hub library: repositories are folders, uploads are copied."""
    repositories, uploads = tmp_path / "repositories", tmp_path / "uploads"
    repository = repositories / "lab" / "model"
    repository.mkdir(parents=True)
    (repository / "expert.py").write_text(EXPERT)
    (repository / "helper.py").write_text("EXPECTED = 'weights'\n")
    (repository / "model.pt").write_text("weights")

    class HfApi:
        def whoami(self):
            return {"name": "me"}

        def create_repo(self, repository, exist_ok):
            (uploads / repository).mkdir(parents=True, exist_ok=exist_ok)

        def upload_folder(self, repo_id, folder_path, path_in_repo):
            shutil.copytree(folder_path, uploads / repo_id / path_in_repo)

    def snapshot_download(repository, revision=None):
        if not (repositories / repository).is_dir():
            raise OSError("404")
        return str(repositories / repository)

    module = types.SimpleNamespace(HfApi=HfApi, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return uploads


TRAIN = ["-m", "train", "-d", "example", "-p", "run", "-o", tiny(total_steps=1), "--hub", "huggingface"]


def test_an_upstream_of_a_repository_trains(downstream, hub):
    assert downstream(*TRAIN, "-u", "lab/model") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-u", "lab/nothing"], "cannot get 'lab/nothing': 404"),
        (["-u", "lab/model", "--upstream_model_name", "other.pt"], "no other.pt"),
    ],
)
def test_what_a_repository_lacks_is_named(downstream, hub, capsys, arguments, message):
    assert downstream(*TRAIN, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_finished_experiment_is_shared(downstream, hub):
    assert downstream(*TRAIN, "-u", "lab/model", "--push_to_hf_hub") == 0
    shared = hub / "me" / "lab__model__main" / "example" / "run"
    names = {path.name for path in shared.iterdir()}
    assert {"model.ckpt", "README.md", "metrics.jsonl"} <= names
    assert not any(name.startswith("states-") for name in names)


def test_a_missing_library_is_named(downstream, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert downstream(*TRAIN, "-u", "lab/model") == 2
    assert "pip install huggingface_hub" in capsys.readouterr().err
