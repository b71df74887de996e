"""The one builder of upstreams: where files are looked for, what an entry is given."""

import pytest
import torch
from torch import nn

from s3prl import hub
from s3prl.upstream.build import build_upstream
from s3prl.upstream.interfaces import UpstreamBase
from s3prl.utility.errors import UserError
from s3prl.utility.paths import ROOT


class Told(nn.Module):
    """Remembers what its entry was given."""

    def __init__(self, **given):
        super().__init__()
        self.given = given


def anything(**given):
    return Told(**given)


def strict(ckpt, model_config, refresh):
    return Told(ckpt=ckpt, model_config=model_config, refresh=refresh)


def build(ckpt=None, model_config=None, entry=anything, **options):
    return build_upstream("mine", ckpt, model_config, entry=entry, **options).given


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A working folder, and one from which a training was started, which has files."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (there / "models").mkdir(parents=True)
    for name in ("a.ckpt", "a.yaml", "models/b.ckpt"):
        (there / name).write_text("x: 1")
    monkeypatch.chdir(here)
    return here, there


def test_names_of_the_registry_are_built():
    assert build_upstream("fbank").get_downsample_rates("hidden_states") == 160
    with pytest.raises(UserError, match=r"no upstream 'fbnak'.*Did you mean 'fbank'"):
        build_upstream("fbnak")


def test_paths_are_looked_for_here_then_in_the_folders_given_then_in_the_repository(folders):
    here, there = folders
    given = build("a.ckpt", "a.yaml", folders=[there])
    assert (given["ckpt"], given["model_config"]) == (str(there / "a.ckpt"), str(there / "a.yaml"))
    assert build("models/b.ckpt", folders=[str(there)])["ckpt"] == str(there / "models/b.ckpt")
    (here / "a.ckpt").write_text("")
    assert build("a.ckpt", folders=[there])["ckpt"] == str(here / "a.ckpt")
    repository = build(model_config="upstream/baseline/mfcc.yaml")
    assert repository["model_config"] == str(ROOT / "upstream/baseline/mfcc.yaml")
    assert build("a.ckpt")["ckpt"] == str(here / "a.ckpt")


def test_nothing_is_remembered_of_the_folders(folders):
    build("a.ckpt", folders=[folders[1]])
    assert build("a.ckpt")["ckpt"] == "a.ckpt"


def test_the_statistics_behind_a_checkpoint_of_m2d_stay(folders):
    assert build("a.ckpt,-9.5,4.25", folders=[folders[1]])["ckpt"] == f"{folders[1] / 'a.ckpt'},-9.5,4.25"
    assert build("nowhere.ckpt,-9.5,4.25")["ckpt"] == "nowhere.ckpt,-9.5,4.25"
    (folders[1] / "odd,1,2").write_text("")
    assert build("odd,1,2", folders=[folders[1]])["ckpt"] == str(folders[1] / "odd,1,2")


@pytest.mark.parametrize("ckpt", [None, "https://host/x.pt", "1FZPTL3", "facebook/wav2vec2-base", ",1,2"])
def test_what_is_no_path_is_passed_on_unchanged(folders, ckpt):
    assert build(ckpt)["ckpt"] == ckpt


def test_a_configuration_that_is_nowhere_is_told_with_the_places_searched(folders):
    with pytest.raises(UserError, match=r"-g b\.yaml: there is no such file.*here.*there"):
        build(model_config="b.yaml", folders=[folders[1]])
    assert build(model_config="https://host/b.yaml")["model_config"] == "https://host/b.yaml"


def test_an_entry_is_given_only_the_options_that_it_takes():
    wanted = {"alone": True, "public_batch": True, "feature_selection": "codewords"}
    assert build(entry=strict, refresh=True, **wanted) == {
        "ckpt": None,
        "model_config": None,
        "refresh": True,
    }
    assert {name: build(**wanted)[name] for name in wanted} == wanted
    assert build().keys() == {"ckpt", "model_config", "refresh"}


def test_what_is_no_model_is_refused():
    with pytest.raises(UserError, match="entry 'mine' returned dict, not a model"):
        build_upstream("mine", entry=lambda **given: given)


def test_an_upstream_knows_where_files_of_its_task_may_be(folders):
    upstream = build_upstream("mine", entry=lambda **given: UpstreamBase(), folders=[folders[1]])
    assert upstream.folders == (folders[1],)
    assert not UpstreamBase().folders


def test_the_statistics_of_a_task_are_found_from_another_folder(folders, capsys):
    _, there = folders
    file = there / "result/m2d_statistics/asr-config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("mean: -8.5\nstd: 3.5\n")
    ckpt = next((ROOT / "tests/data/m2d").glob("*.pth"), None) or next(
        (ROOT / "tests/data/m2d").rglob("*.pth")
    )
    upstream = build_upstream("m2d", str(ckpt), folders=[there])
    upstream.for_task("asr-config")
    assert upstream.statistics == (-8.5, 3.5)
    elsewhere = build_upstream("m2d", str(ckpt))
    elsewhere.for_task("asr-config")
    assert elsewhere.statistics != (-8.5, 3.5)


def test_the_hub_and_the_builder_know_the_same_names():
    assert isinstance(hub.get("mel")(), type(build_upstream("mel")))
    with torch.no_grad():
        wav = [torch.randn(4000)]
        ours, theirs = build_upstream("mel")(wav), hub.mel()(wav)
    assert torch.equal(ours["last_hidden_state"], theirs["last_hidden_state"])
