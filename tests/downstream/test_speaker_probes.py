"""Speaker probes on LibriSpeech: the lists of CPC, a speaker for every utterance or frame, and learning."""

import gzip
import json
import random
from collections import defaultdict
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, metrics
from voices import make_readers

from s3prl.downstream.common.corpora.cpc_split import LISTS, cpc_ids
from s3prl.downstream.speaker_linear_frame_libri.expert import DownstreamExpert as FrameExpert
from s3prl.downstream.speaker_linear_utter_libri.expert import DownstreamExpert as UtteranceExpert
from s3prl.utility import get_best_dev
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

SPLITS = ("train", "dev", "test")
TASKS = {"speaker_linear_utter_libri": UtteranceExpert, "speaker_linear_frame_libri": FrameExpert}
HUBERT = ["-u", "hubert_local", "-k", ROOT / "tests/data/hubert_base/ckpt_fairseq.pt"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """24 utterances of three speakers for training (21) and development (3), 6 for tests."""
    return make_readers(tmp_path_factory.mktemp("readers") / "LibriSpeech")


def block(task, root, **datarc):
    """`downstream_expert` of the miniature's config, on the corpus of `root`."""
    found = load_yaml(ROOT / f"downstream/{task}/mini.yaml")["downstream_expert"]
    fields = {"libri_root": str(root), "split_path": f"{root}/lists", "bucket_file": f"{root.parent}/lengths"}
    found["datarc"].update({**fields, "num_workers": 0, **datarc})
    return found


def build(task, root, expdir="unused", mode="evaluate", **datarc):
    options = {"expdir": str(expdir), "mode": mode, "upstream_rate": 160}
    return TASKS[task](4, downstream_expert=block(task, root, **datarc), **options)


def run_config(task, root, lr, steps=40):
    """A config file of a run of seconds."""
    config = load_yaml(ROOT / f"downstream/{task}/mini.yaml")
    config["runner"].update(
        total_steps=steps, log_step=steps // 2, eval_step=steps // 2, save_step=steps, draw_curves=False
    )
    config["optimizer"]["lr"] = lr
    config.pop("scheduler")
    config["downstream_expert"] = block(task, root, train_batch_size=8)
    Path("probe.yaml").write_text(yaml.safe_dump(config))
    return ["-m", "train", "-d", task, "-c", "probe.yaml"]


def test_the_lists_of_cpc_are_split_by_the_shuffle_of_the_original():
    listed = {
        kind: gzip.decompress((LISTS / f"cpc_librispeech_{kind}.txt.gz").read_bytes()).decode().splitlines()
        for kind in ("train", "test")
    }
    random.seed(1337)
    random.shuffle(listed["train"])
    found = {split: cpc_ids(split) for split in SPLITS}
    assert found["train"] + found["dev"] == listed["train"] and found["test"] == listed["test"]
    assert [len(ids) for ids in found.values()] == [20547, 2283, 5708]
    assert len(set().union(*found.values())) == 28538
    assert (found["train"][0], found["dev"][0]) == ("3947-13262-0002", "7367-86737-0057")
    assert all(len({name.split("-")[0] for name in ids}) == 251 for ids in found.values())


def test_a_split_that_is_none_and_a_list_that_is_none_are_named(tmp_path):
    with pytest.raises(UserError, match=r"tset is not one of train, dev, test\. Did you mean 'test'"):
        cpc_ids("tset")
    with pytest.raises(UserError, match=f"There is no list of utterances {tmp_path}/train_split.txt"):
        cpc_ids("dev", tmp_path / "train_split.txt")
    (tmp_path / "train_split.txt").write_text("\n")
    with pytest.raises(UserError, match=r"train_split\.txt is empty"):
        cpc_ids("train", tmp_path / "train_split.txt")
    (tmp_path / "list.gz").write_text("103-1240-0000")
    with pytest.raises(UserError, match=r"list\.gz is not a list of utterance ids"):
        cpc_ids("train", tmp_path / "list.gz")


@pytest.mark.parametrize("task", TASKS)
def test_splits_and_speakers_equal_a_reading_of_the_lists_by_hand(root, task):
    expert = build(task, root)
    listed = [f"{speaker}-7-{index:04d}" for speaker in ("19", "103", "26") for index in range(10)]
    training = [name for name in listed if name[-1] not in "49"]
    random.Random(1337).shuffle(training)
    by_hand = {"train": training[:21], "dev": training[21:], "test": [n for n in listed if n[-1] in "49"]}
    for split, names in by_hand.items():
        items = expert.listed(split)
        assert sorted(item.name for item in items) == sorted(names)
        for item in items:
            speaker = item.name.split("-")[0]
            path = root / "train-clean-100" / speaker / "7" / f"{item.name}.flac"
            assert (item.label, item.recording.path) == (speaker, str(path))
            assert expert.target(item) == ["103", "19", "26"].index(speaker)
        lengths = [item.samples for item in items]
        assert all(lengths) and lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("task", TASKS)
def test_the_real_corpus_has_251_speakers_and_the_effective_batch_of_the_original(task, tmp_path):
    block = load_yaml(ROOT / f"downstream/{task}/config.yaml")
    expert = TASKS[task](
        4, upstream_rate=160, downstream_expert=block["downstream_expert"], expdir=str(tmp_path), mode="train"
    )
    speakers = (tmp_path / "labels.txt").read_text().split()
    assert len(speakers) == 251 and speakers == sorted(speakers) and expert.loading.train_batch_size == 16
    shapes = [tuple(value.shape) for name, value in expert.state_dict().items() if name.endswith("weight")]
    assert shapes == [(251, 4)]  # a linear layer and nothing else
    assert block["optimizer"] == {"name": "AdamW", "lr": 2e-4}
    assert block["runner"]["total_steps"] == (300000 if "utter" in task else 500000)


def test_every_frame_counts_and_padding_does_not(root):
    expert = build("speaker_linear_frame_libri", root)
    expert.eval()
    items = expert.listed("test")[:2]
    features = [torch.randn(frames, 4) for frames in (7, 3)]
    targets = [expert.target(item) for item in items]
    records = defaultdict(list)
    together = expert("test", features, targets, items, records=records)
    alone = [
        expert("test", [feature], [target], [item], records=defaultdict(list))
        for feature, target, item in zip(features, targets, items, strict=True)
    ]
    assert together.item() == pytest.approx((7 * alone[0].item() + 3 * alone[1].item()) / 10, rel=1e-5)
    predicted = [expert.model(feature[None], [len(feature)])[0].argmax(-1) for feature in features]
    right = sum(int((one == target).sum()) for one, target in zip(predicted, targets, strict=True))
    assert expert.scores("test", records) == {"acc": right / 10}


@pytest.mark.parametrize("task", TASKS)
def test_a_short_training_recognises_the_readers(root, downstream, capsys, task):
    train = run_config(task, root, lr=1e-2 if "frame" in task else 1e-3)
    assert downstream(*train, "-u", "fbank", "-p", "run") == 0
    last = {line["split"]: line["acc"] for line in metrics(Path("run"))}
    assert last["test"] > 0.6  # of three readers
    best = max(line["acc"] for line in metrics(Path("run")) if line["split"] == "dev")
    assert any(line == f"best|libri_speaker/dev-|step:20|acc:{metrics(Path('run'))[1]['acc']}"
               for line in Path("run/log.log").read_text().splitlines())  # fmt: skip
    assert Path("run/best-states-dev.ckpt").is_file()
    capsys.readouterr()
    assert get_best_dev.main(["run/log.log"]) == 0
    assert f"The best dev score {best}" in capsys.readouterr().out
    assert downstream("-m", "evaluate", "-t", "dev", "-e", "run/dev-best.ckpt") == 0
    assert json.loads(Path("run/result.json").read_text())["metrics"]["acc"] == best
    truth = dict(line.split(maxsplit=1) for line in Path("run/test_truth.txt").read_text().splitlines())
    assert len(truth) == 6 and all({name.split("-")[0]} == set(text.split()) for name, text in truth.items())


def test_the_probe_of_utterances_trains_by_means_and_has_the_accuracy_of_a_run_without_cache(
    root, downstream, capsys
):
    train = run_config("speaker_linear_utter_libri", root, lr=1e-2, steps=10)
    assert downstream(*train, *HUBERT, "--upstream_alone", "-p", "plain") == 0
    capsys.readouterr()
    assert downstream(*train, *HUBERT, "--cache", "features", "-p", "cached") == 0
    assert ": mean in float32" in capsys.readouterr().out
    for plain, cached in zip(metrics(Path("plain")), metrics(Path("cached")), strict=True):
        assert cached["loss"] == pytest.approx(plain["loss"], rel=1e-3) and cached["acc"] == plain["acc"]


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_corpus_list_or_utterance_is_named(root, tmp_path, task):
    with pytest.raises(UserError, match="train-clean-100 was looked for in") as error:
        TASKS[task].check(block(task, tmp_path / "none"), ["train"])
    assert f"-c downstream/{task}/mini.yaml" in str(error.value)
    with pytest.raises(UserError, match=f"no list of utterances {tmp_path}/train_split.txt"):
        TASKS[task].check(block(task, root, split_path=str(tmp_path)), ["train"])
    with pytest.raises(
        UserError, match=r"None of the 5,708 utterances of the split 'test' .* 200-126784-0017"
    ):
        build(task, root, split_path=None).listed("test")
    lists = {kind: (root / f"lists/{kind}_split.txt").read_text() for kind in ("train", "test")}
    for kind, text in lists.items():
        (tmp_path / f"{kind}_split.txt").write_text(text + "103-7-9999\n")
    with pytest.raises(UserError, match=r"files of the split 'test' cannot be used:\s+.*/103-7-9999\.flac"):
        build(task, root, split_path=str(tmp_path)).listed("test")


@pytest.mark.parametrize("task", TASKS)
def test_a_speaker_whom_training_lacks_is_named(root, tmp_path, task):
    training = (root / "lists/train_split.txt").read_text().splitlines(keepends=True)
    (tmp_path / "train_split.txt").write_text("".join(name for name in training if name[:3] != "26-"))
    (tmp_path / "test_split.txt").write_text((root / "lists/test_split.txt").read_text())
    expert = build(task, root, split_path=str(tmp_path))
    expert.listed("train")
    with pytest.raises(UserError, match=r"labels that are none of the 2 classes: '26' \(2 x, first 26-7-"):
        expert.listed("test")


@pytest.mark.parametrize("task", TASKS)
def test_own_lists_take_the_place_of_the_corpus(root, tmp_path, task):
    for split, items in {split: build(task, root).listed(split) for split in SPLITS}.items():
        rows = "".join(f"{item.recording.path},reader {item.label}\n" for item in items)
        (tmp_path / f"{split}.csv").write_text(f"path,label\n{rows}")
    files = {split: str(tmp_path / f"{split}.csv") for split in SPLITS}
    TASKS[task].check(block(task, tmp_path / "none", lists=files), SPLITS)
    expert = build(task, tmp_path / "none", tmp_path / "run", mode="train", lists=files)
    assert [len(expert.listed(split)) for split in SPLITS] == [21, 3, 6]
    assert (tmp_path / "run/labels.txt").read_text().splitlines() == ["reader 103", "reader 19", "reader 26"]
