"""Speaker identification: the split list and the files it names, crops, and that it learns."""

import http.server
import json
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT, metrics
from voices import HOMES, NUMBERS, RATE, VIDEOS, make_celebrities

from s3prl.downstream.common.corpora import voxceleb1 as corpus
from s3prl.downstream.voxceleb1.expert import DownstreamExpert
from s3prl.utility import get_best_dev
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

SPLITS = ("train", "dev", "test")
HUBERT = ["-u", "hubert_local", "-k", ROOT / "tests/data/hubert_base/ckpt_fairseq.pt"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return make_celebrities(tmp_path_factory.mktemp("celebrities") / "VoxCeleb1")


@pytest.fixture
def own(tmp_path):
    """A corpus that a test may change."""
    return make_celebrities(tmp_path / "VoxCeleb1")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def walked(monkeypatch):
    """The folders whose files are looked for."""
    folders, walk = [], corpus.files_below

    def noted(folder):
        folders.append(folder)
        return walk(folder)

    monkeypatch.setattr(corpus, "files_below", noted)
    return folders


@pytest.fixture
def site(monkeypatch):
    """A server in place of VoxCeleb's: its pages by path, and the paths asked for."""
    pages, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            asked.append(self.path)
            if self.path not in pages:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(pages[self.path])))
            self.end_headers()
            self.wfile.write(pages[self.path])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/iden_split.txt"
    monkeypatch.setattr(corpus, "SPLIT_LIST_URL", url)
    yield pages, asked
    server.shutdown()
    server.server_close()


def block(root, name="config", **datarc):
    """`downstream_expert` of a shipped config, on the corpus of `root`."""
    found = load_yaml(ROOT / f"downstream/voxceleb1/{name}.yaml")["downstream_expert"]
    found["datarc"].update({"file_path": str(root), "num_workers": 0, **datarc})
    return found


def build(root, **datarc):
    return DownstreamExpert(4, downstream_expert=block(root, **datarc), expdir="unused")


def run_config(root, name="mini", steps=60, **datarc):
    """A config file of a run of seconds."""
    config = load_yaml(ROOT / f"downstream/voxceleb1/{name}.yaml")
    config["runner"].update(
        total_steps=steps, log_step=steps // 2, eval_step=steps // 2, save_step=steps,
        gradient_accumulate_steps=1, draw_curves=False,
    )  # fmt: skip
    config["optimizer"]["lr"] = 1e-3
    config.pop("scheduler", None)
    config["downstream_expert"] = block(root, name, **{"train_batch_size": 8, **datarc})
    Path("sid.yaml").write_text(yaml.safe_dump(config))
    return ["-m", "train", "-d", "voxceleb1", "-c", "sid.yaml"]


def by_hand(part):
    """What the list says of a part."""
    return [
        (f"{identity}-{video}-{number:05d}", identity)
        for identity in HOMES
        for video, its_part in VIDEOS.items()
        if its_part == part
        for number in NUMBERS[part]
    ]


def test_splits_equal_a_reading_of_the_list_by_hand(shared):
    task = build(shared)
    for split, part, size in (("train", "1", 24), ("dev", "2", 4), ("test", "3", 8)):
        items = task.listed(split)
        assert [(item.name, item.label) for item in items] == by_hand(part) and len(items) == size
        assert task.split_size(split)[0] == size
        assert Counter(item.label for item in items) == dict.fromkeys(HOMES, size // 4)
        for item in items:
            speaker, number = item.label, item.name[-5:]
            path = Path(item.recording.path)
            assert path.is_file() and path.parts[-5:-2] == (HOMES[speaker], "wav", speaker)
            assert path.stem == number
    first = task.listed("train")[0]
    assert (first.name, first.label) == ("id10001--AbC_d1eF2g-00001", "id10001")


def test_classes_are_the_1251_speakers_in_the_order_of_their_numbers(shared):
    task = build(shared)
    assert len(task.classes) == 1251 and task.classes[0] == "id10001" and task.classes[-1] == "id11251"
    targets = {item.label: task.target(item) for item in task.listed("test")}
    assert targets == {"id10001": 0, "id10003": 2, "id10270": 269, "id11251": 1250}
    assert task.state_dict()["model.post_net.linear.weight"].shape == (1251, 256)


def test_recordings_are_found_below_any_folder(own):
    (own / "dev").rename(own / "part one")
    assert len(build(own).listed("train")) == 24


def test_the_corpus_is_walked_through_once(shared, walked):
    for _ in range(2):
        task = build(shared)
        assert [len(task.listed(split)) for split in SPLITS] == [24, 4, 8]
    assert walked == [shared / "dev/wav", shared / "test/wav"]


@pytest.mark.parametrize("change", ["root", "folder", "list"])
def test_a_corpus_that_has_changed_is_walked_through_again(own, walked, change):
    build(own).listed("train")
    walked.clear()
    if change == "root":
        own = own.rename(own.with_name("elsewhere"))
    elif change == "folder":
        (own / "dev").rename(own / "development")
    else:
        lines = (own / "iden_split.txt").read_text().splitlines(keepends=True)
        (own / "iden_split.txt").write_text("".join([*lines, "1 id10001/-AbC_d1eF2g/99999.wav\n"]))
    items = build(own).listed("train")
    assert walked and len(items) == (25 if change == "list" else 24)
    assert all(Path(item.recording.path).is_file() and str(own) in item.recording.path for item in items)


def test_missing_recordings_are_counted_and_named(own):
    build(own).listed("dev")
    for video in ("-AbC_d1eF2g", "0train_seco"):
        (own / f"dev/wav/id10003/{video}/00002.wav").unlink()
    (own / "dev/wav/id10001/-AbC_d1eF2g/00001.wav").unlink()
    with pytest.raises(UserError) as error:
        build(own, meta_data=None).listed("train")
    for text in (
        f"3 of the 24 train recordings of {own}/iden_split.txt are in no {own}/*/wav",
        "id10001/-AbC_d1eF2g/00001.wav, id10003/-AbC_d1eF2g/00002.wav", "downstream_expert.datarc.meta_data",
        "vox1.html",
    ):  # fmt: skip
        assert text in str(error.value)
    assert len(build(own).listed("dev")) == 4


def test_a_recording_that_disappears_later_is_named_before_training(own):
    build(own, max_timestep=None).listed("train")
    gone = own / "dev/wav/id10003/-AbC_d1eF2g/00002.wav"
    gone.write_bytes(b"")
    with pytest.raises(UserError, match="1 of 24 audio files of the split 'train' cannot be used") as error:
        build(own).listed("train")
    assert str(gone) in str(error.value)


def test_a_part_of_the_corpus_is_used_by_a_list_of_its_own(own, tmp_path):
    (own / "dev/wav/id10003/-AbC_d1eF2g/00002.wav").unlink()
    part = tmp_path / "part.txt"
    lines = (own / "iden_split.txt").read_text().splitlines(keepends=True)
    part.write_text("".join(line for line in lines if "id10003" not in line))
    DownstreamExpert.check(block(own, meta_data=str(part)), SPLITS)
    task = build(own, meta_data=str(part))
    assert [len(task.listed(split)) for split in SPLITS] == [18, 3, 6]


def test_the_list_is_that_of_the_config_else_of_the_corpus_else_the_official_one(own, tmp_path, site, capsys):
    pages, asked = site
    listed = (own / "iden_split.txt").read_text()
    (tmp_path / "mine.txt").write_text(listed)
    assert corpus.find_list(tmp_path / "mine.txt", own, print) == tmp_path / "mine.txt"
    said = []
    assert corpus.find_list(Path("downstream/veri_test_class.txt"), own, said.append)
    assert said == [f"there is no list downstream/veri_test_class.txt; that of {own}/iden_split.txt is used"]
    (own / "iden_split.txt").unlink()
    pages["/iden_split.txt"] = listed.encode()
    for _ in range(2):
        DownstreamExpert.check(block(own), SPLITS)
        assert len(build(own).listed("train")) == 24
    assert asked == ["/iden_split.txt"]


def test_a_list_that_cannot_be_downloaded_is_named_with_the_ways_to_get_it(own, site, monkeypatch):
    (own / "iden_split.txt").unlink()
    with pytest.raises(UserError, match="could not be downloaded") as error:
        DownstreamExpert.check(block(own), ["train"])
    assert f"Or save it as {own}/iden_split.txt" in str(error.value)
    monkeypatch.setenv("S3PRL_OFFLINE", "1")
    with pytest.raises(UserError, match="S3PRL_OFFLINE forbids fetching it"):
        DownstreamExpert.check(block(own), ["train"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4 id10001/-AbC_d1eF2g/00001.wav", "line 37: '4 id10001/-AbC_d1eF2g/00001.wav' is not `<1|2|3>"),
        ("<html>", "line 37: '<html>' is not `<1|2|3>"),
        ("1 id11252/-AbC_d1eF2g/00001.wav", "with a speaker from id10001 to id11251"),
        ("3 id10001/-AbC_d1eF2g/00001.wav", "line 37: id10001/-AbC_d1eF2g/00001.wav is listed a second time"),
        ("2 id10002/aaaaaaaaaaa/00001.wav", "no training recording (1) of 1 speakers of its dev part (2)"),
    ],
)
def test_a_wrong_list_is_named_with_its_line(own, line, message):
    with (own / "iden_split.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block(own), ["train"])
    assert message in str(error.value) and f"{own}/iden_split.txt" in str(error.value)


def test_a_list_without_a_split_is_refused_only_where_the_split_is_used(own):
    lines = (own / "iden_split.txt").read_text().splitlines(keepends=True)
    (own / "iden_split.txt").write_text("".join(line for line in lines if line[0] == "3"))
    DownstreamExpert.check(block(own), ["test"])
    assert len(build(own).listed("test")) == 8
    with pytest.raises(UserError, match="no recording of the split 'train': no line begins with 1"):
        DownstreamExpert.check(block(own), SPLITS)


def test_a_missing_corpus_and_a_wrong_layout_are_named_with_the_ways_to_get_it(tmp_path):
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block(tmp_path / "none"), ["train"])
    for text in (
        f"{tmp_path}/none. That folder does not exist", "downstream_expert.datarc.file_path",
        "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html", "voxceleb1 --output data/mini",
        "-c downstream/voxceleb1/mini.yaml",
    ):  # fmt: skip
        assert text in str(error.value)
    (tmp_path / "wav/id10001").mkdir(parents=True)
    with pytest.raises(UserError, match=r"It has no folder <any>/wav, such as dev/wav .* it holds: wav\."):
        DownstreamExpert.check(block(tmp_path), ["train"])


@pytest.mark.parametrize(
    ("change", "splits", "message"),
    [
        ({"crop_places": 0}, ["train"], "crop_places must be at least 1, not 0"),
        ({"filepath": "x"}, ["train"], "Did you mean 'file_path'"),
        ({}, ["tset"], "tset is not one of train, dev, test. Did you mean 'test'"),
    ],
)
def test_a_mistake_in_the_config_is_found_first(shared, change, splits, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        DownstreamExpert.check(block(shared, **change), splits)


def crops(task):
    """Training recordings by what can be heard of them."""
    dataset = task.get_dataloader("train").dataset
    return {item.name: dataset.choices(index) for index, item in enumerate(dataset.items)}


def test_only_longer_training_recordings_are_cropped_from_places_that_can_be_listed(shared):
    task = build(shared, max_timestep=int(0.35 * RATE), crop_places=3)
    found = crops(task)
    longer = {name for name, choices in found.items() if len(choices) == 3}
    assert 0 < len(longer) < len(found) and {len(choices) for choices in found.values()} == {1, 3}
    assert {one.crop for name in longer for one in found[name]} == {0.35}
    assert all(one.crop is None for name in found.keys() - longer for one in found[name])
    assert all(item.crop is None for split in ("dev", "test") for item in task.listed(split))


def test_crops_may_begin_anywhere_or_not_be_made(shared):
    anywhere = crops(build(shared, max_timestep=int(0.35 * RATE), crop_places=None))
    assert {type(choices) for choices in anywhere.values()} == {list, type(None)}
    assert all(len(choices) == 1 for choices in crops(build(shared, max_timestep=None)).values())


def test_a_short_training_recognises_the_speakers_and_writes_whom(shared, downstream, capsys):
    train = run_config(shared)
    assert downstream(*train, "-u", "fbank", "-p", "run") == 0
    last = {line["split"]: line["acc"] for line in metrics(Path("run"))}
    assert last["dev"] > 0.7 and last["test"] > 0.7  # of four speakers
    best = max(line["acc"] for line in metrics(Path("run")) if line["split"] == "dev")
    capsys.readouterr()
    assert get_best_dev.main(["run/log.log"]) == 0
    assert f"The best dev score {best}" in capsys.readouterr().out
    assert downstream("-m", "evaluate", "-t", "dev", "-e", "run/dev-best.ckpt") == 0
    assert json.loads(Path("run/result.json").read_text())["metrics"]["acc"] == best
    truth, predicted = (
        Path(f"run/test_{kind}.txt").read_text().splitlines() for kind in ("truth", "predict")
    )
    assert truth == [f"{name} {speaker}" for name, speaker in sorted(by_hand("3"))]
    assert [line.split()[0] for line in predicted] == [line.split()[0] for line in truth]


@pytest.mark.parametrize("name", ["mini", "config"])
def test_a_cached_run_needs_the_upstream_once_and_has_the_accuracy_of_one_without(
    shared, downstream, capsys, name
):
    train = run_config(shared, name, 16, max_timestep=int(0.35 * RATE), crop_places=2)
    assert downstream(*train, *HUBERT, "--upstream_alone", "-p", "plain") == 0
    capsys.readouterr()
    assert downstream(*train, *HUBERT, "--cache", "features", "-p", "cached") == 0
    said = capsys.readouterr().out
    assert ": mean in float32" in said and "random places" not in said
    rows = {folder: metrics(Path(folder)) for folder in ("plain", "cached")}
    for plain, cached in zip(rows["plain"], rows["cached"], strict=True):
        assert cached["loss"] == pytest.approx(plain["loss"], rel=1e-3) and cached["acc"] == plain["acc"]


def test_own_lists_take_the_place_of_the_corpus(shared, downstream, tmp_path):
    wavs = {split: build(shared).listed(split) for split in SPLITS}
    for split, items in wavs.items():
        rows = "".join(f"{item.recording.path},{item.label}\n" for item in items if item.label != "id10270")
        (tmp_path / f"{split}.csv").write_text(f"path,label\n{rows}")
    files = {split: str(tmp_path / f"{split}.csv") for split in SPLITS}
    task = DownstreamExpert(
        4, downstream_expert=block("nowhere", lists=files), expdir=str(tmp_path / "run"), mode="train"
    )
    assert task.classes == ["id10001", "id10003", "id11251"]
    assert [len(task.listed(split)) for split in SPLITS] == [18, 3, 6]
    assert (tmp_path / "run/labels.txt").read_text().split() == task.classes


def test_the_picture_of_all_speakers_has_a_point_for_each_pair_and_no_names(shared):
    pictures = []
    logger = SimpleNamespace(
        shows_images=True, add_image=lambda name, image, *_, **__: pictures.append(image)
    )
    build(shared).draw("test", {"truth": ["id11251"], "predicted": ["id10001"]}, logger, 0)
    assert pictures[0].shape == (1251, 1251, 3)
    assert pictures[0][1250, 0].tolist() == [0, 0, 0] and (pictures[0] == 0).sum() == 3


def test_a_config_of_the_public_package_is_taken_as_it_is(shared, capsys):
    public = {
        "datarc": {
            "file_path": str(shared), "meta_data": "./downstream/voxceleb1/veri_test_class.txt",
            "num_workers": 12, "train_batch_size": 8, "max_timestep": 128000, "eval_batch_size": 1,
        },
        "modelrc": {
            "projector_dim": 256, "select": "UtteranceLevel", "UtteranceLevel": {"pooling": "MeanPooling"},
        },
    }  # fmt: skip
    DownstreamExpert.check(public, SPLITS)
    assert "there is no list downstream/voxceleb1/veri_test_class.txt" in capsys.readouterr().err
    task = DownstreamExpert(4, downstream_expert=public, expdir="unused")
    assert task.reads == "mean" and len(task.listed("test")) == 8


def test_the_shipped_config_has_the_settings_of_superb():
    config = load_yaml(ROOT / "downstream/voxceleb1/config.yaml")
    runner, datarc = config["runner"], config["downstream_expert"]["datarc"]
    assert (runner["total_steps"], runner["gradient_accumulate_steps"], runner["eval_step"]) == (
        200000,
        4,
        5000,
    )
    assert (datarc["train_batch_size"], datarc["eval_batch_size"], datarc["max_timestep"]) == (8, 1, 128000)
    assert config["optimizer"]["lr"] == 1e-4 and runner["eval_dataloaders"] == ["dev", "test"]
