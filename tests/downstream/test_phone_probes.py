"""Phone probes on LibriSpeech: which utterance is in which split, what the heads see, that they learn."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import phones
import pytest
import torch
import yaml
from conftest import ROOT, metrics

from s3prl.downstream.assembly import import_expert
from s3prl.downstream.common.heads import ConvBank, FramelevelConcat, get_downstream_model
from s3prl.training import checkpoint as checkpoints
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.get_best_dev import main as get_best_dev

TASKS = ("phone_linear", "phone_linear_concat", "phone_1hidden", "libri_phone")
HEADS = ("FrameLevel", "FramelevelConcat", "Framelevel1Hidden", "ConvBank")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return phones.make_phone_corpus(tmp_path_factory.mktemp("phones"))


def block(root, task="phone_linear", **datarc):
    """`downstream_expert` of the shipped config, on the corpus of `root`."""
    block = load_yaml(ROOT / f"downstream/{task}/config.yaml")["downstream_expert"]
    block["datarc"].update(libri_root=f"{root}/LibriSpeech", bucket_file=None, num_workers=0)
    block["datarc"].update(phone_path=f"{root}/labels", split_path=f"{root}/labels")
    block["datarc"].update(datarc)
    return block


def build(root, expdir, task="phone_linear", **datarc):
    return import_expert(task)(4, 160, downstream_expert=block(root, task, **datarc), expdir=str(expdir))


def expected_ids():
    """The splits by hand: every fifth name is for testing, a tenth of the others for development."""
    listed = [name for index, name in enumerate(phones.names()) if index % 5]
    random.Random(1337).shuffle(listed)
    kept = int(len(listed) * 0.9)
    tested = [name for index, name in enumerate(phones.names()) if index % 5 == 0]
    return {"train": listed[:kept], "dev": listed[kept:], "test": tested}


def test_splits_and_labels_equal_a_reading_of_the_lists_by_hand(root, tmp_path):
    task = build(root, tmp_path)
    sizes = {}
    for split, names in expected_ids().items():
        items = task.listed(split)
        lengths = {name: phones.segments(name)[-1][2] for name in names}
        assert [item.name for item in items] == sorted(names, key=lambda name: (-lengths[name], name))
        for item in items:
            speaker, chapter, _ = item.name.split("-")
            file = f"{root}/LibriSpeech/train-clean-100/{speaker}/{chapter}/{item.name}.flac"
            assert (item.recording.path, item.samples) == (file, lengths[item.name])
            assert task.target(item).tolist() == phones.labels(item.name)
            assert item.label.itemsize == 1  # there are millions
        sizes[split] = task.split_size(split)[0]
    assert sizes == {"train": 18, "dev": 2, "test": 5}
    assert task.class_names == list(phones.CLASSES)
    assert (tmp_path / "labels.txt").read_text().split() == list(phones.CLASSES)


def test_without_lists_of_its_own_a_corpus_is_split_as_cpc_has_it(root, tmp_path):
    task = build(root, tmp_path, split_path=None)
    sizes = {split: len(task.settings.ids(split, None)) for split in ("train", "dev", "test")}
    assert sizes == {"train": 20547, "dev": 2283, "test": 5708}
    assert len({name.split("-")[0] for name in task.utterances()}) == 251
    assert task.settings.ids("test", None)[0] == "200-126784-0017"


def test_tables_of_lengths_are_used_where_the_config_names_their_folder(root, tmp_path):
    tables = tmp_path / "tables"
    with_tables, without = build(root, tmp_path, bucket_file=str(tables)), build(root, tmp_path)
    assert [item.samples for item in with_tables.listed("dev")] == [
        item.samples for item in without.listed("dev")
    ]
    assert len((tables / "train-clean-100.csv").read_text().splitlines()) == 26


@pytest.mark.parametrize(("task", "head"), list(zip(TASKS, HEADS, strict=True)))
def test_the_shipped_configs_have_the_settings_of_the_original(task, head):
    config = load_yaml(ROOT / f"downstream/{task}/config.yaml")
    long = task in ("phone_linear_concat", "phone_1hidden")
    assert config["runner"] == {
        "total_steps": 1000000 if long else 500000, "gradient_clipping": 1, "gradient_accumulate_steps": 1,
        "log_step": 5000, "eval_step": 20000 if long else 10000, "save_step": 20000 if long else 10000,
        "max_keep": 1, "eval_dataloaders": ["dev", "test"],
    }  # fmt: skip
    assert config["optimizer"] == {"name": "AdamW", "lr": 2e-4} and "scheduler" not in config
    expert = import_expert(task)
    settings, modelrc = expert.read_config(config["downstream_expert"])
    assert (settings.train_batch_size, settings.eval_batch_size, settings.num_workers) == (16, 16, 8)
    assert modelrc["select"] == head
    shapes = [list(weight.shape) for weight in get_downstream_model(10, 41, modelrc).parameters()]
    assert shapes == {
        "FrameLevel": [[41, 10], [41]],
        "FramelevelConcat": [[41, 90], [41]],
        "Framelevel1Hidden": [[768, 10], [768], [41, 768], [41]],
        "ConvBank": [
            [64, 10], [64], [32, 64, 3], [32], [32, 64, 5], [32], [32, 64, 7], [32], [41, 96], [41],
        ],
    }[head]  # fmt: skip
    mini = load_yaml(ROOT / f"downstream/{task}/mini.yaml")
    assert mini["runner"]["eval_dataloaders"] == ["dev", "test"] and mini["runner"]["max_keep"] == 1
    assert expert.read_config(mini["downstream_expert"])[1]["select"] == head


def test_a_head_on_neighbours_sees_nine_frames_with_those_at_the_edges_repeated():
    torch.manual_seed(0)
    head, features = FramelevelConcat(3, 5), torch.randn(2, 12, 3)
    lengths = [12, 7]
    scores, _ = head(features, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        for frame in range(length):
            around = [features[row, min(max(frame + step, 0), length - 1)] for step in range(-4, 5)]
            torch.testing.assert_close(scores[row, frame], head.linear(torch.cat(around)))


@pytest.mark.parametrize(("name", "fields"), [("FramelevelConcat", {"concat_n_frames": 3}), ("ConvBank", {})])
def test_what_stands_behind_an_utterance_does_not_reach_its_scores(name, fields):
    torch.manual_seed(0)
    head = get_downstream_model(3, 5, {"select": name, name: fields}).eval()
    features = torch.randn(2, 12, 3)
    alone, _ = head(features[1:, :7], [7])
    together, _ = head(features, [12, 7])
    torch.testing.assert_close(together[1:, :7], alone)


def test_dropout_of_the_convolutions_is_off_in_evaluation():
    head, features = ConvBank(3, 5), torch.randn(1, 12, 3)
    assert not torch.equal(head(features, [12])[0], head(features, [12])[0])
    head.eval()
    assert torch.equal(head(features, [12])[0], head(features, [12])[0])


@pytest.mark.parametrize("task", TASKS)
def test_a_short_training_learns_the_phones_and_its_evaluation_repeats_the_accuracy(
    root, downstream, capsys, task
):
    config = {
        "runner": {"total_steps": 40, "log_step": 20, "eval_step": 20, "save_step": 40, "max_keep": 1},
        "optimizer": {"name": "AdamW", "lr": 2e-2},
        "downstream_expert": block(root, task, train_batch_size=4),
    }
    config["runner"]["eval_dataloaders"] = ["dev", "test"]
    Path("phone.yaml").write_text(yaml.safe_dump(config))
    assert downstream("-m", "train", "-u", "fbank", "-d", task, "-c", "phone.yaml", "-p", "run") == 0
    last = {line["split"]: line["acc"] for line in metrics(Path("run"))}
    truth = np.concatenate([phones.labels(name) for name in expected_ids()["test"]])
    assert last["test"] > 1.4 * np.bincount(truth).max() / len(
        truth
    )  # than the most frequent phone everywhere
    lines = Path("run/log.log").read_text().splitlines()
    assert lines[0].startswith("libri_phone/train-|step:20|acc:")
    assert lines[1].startswith("best|libri_phone/dev-|step:20|acc:")
    assert lines[2].startswith("libri_phone/test-|step:20|acc:")
    assert same_file("run/dev-best.ckpt", "run/best-states-dev.ckpt")
    assert not Path("run/best-states-test.ckpt").exists()
    step = checkpoints.load("run/dev-best.ckpt")["Step"]
    (logged,) = [line for line in metrics(Path("run")) if (line["split"], line["step"]) == ("test", step)]
    capsys.readouterr()
    assert get_best_dev(["run/log.log"]) == 0
    assert f"accompanied by this test score {logged['acc']}" in capsys.readouterr().out
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0
    assert json.loads(Path("run/result.json").read_text())["metrics"]["acc"] == logged["acc"]
    name = expected_ids()["test"][0]
    shown = dict(line.split(" ", 1) for line in Path("run/test_truth.txt").read_text().splitlines())
    assert shown[name].split() == [phones.CLASSES[number] for number in phones.labels(name)]


def same_file(one, other):
    return Path(one).read_bytes() == Path(other).read_bytes()


def test_labels_of_ten_milliseconds_fit_an_upstream_of_twenty(root, downstream):
    config = {
        "runner": {
            "total_steps": 2,
            "log_step": 2,
            "eval_step": 2,
            "save_step": 2,
            "eval_dataloaders": ["dev"],
        },
        "optimizer": {"name": "AdamW", "lr": 1e-2},
        "downstream_expert": block(root, "libri_phone", train_batch_size=4),
    }
    Path("phone.yaml").write_text(yaml.safe_dump(config))
    assert downstream("-u", "log_stft", "-d", "libri_phone", "-c", "phone.yaml", "-p", "run") == 0
    rows = dict(line.split(" ", 1) for line in Path("run/dev_predict.txt").read_text().splitlines())
    assert {name: len(row.split()) for name, row in rows.items()} == {
        name: len(phones.labels(name)) for name in expected_ids()["dev"]
    }


def test_lists_of_ones_own_take_the_place_of_the_corpus(tmp_path, downstream):
    rows = {split: ["path,label,start,end"] for split in ("train", "dev")}
    for name in phones.names()[:8]:
        split = "dev" if name.endswith(("6", "7")) else "train"
        rows[split] += [
            f"{name}.wav,{phone},{start / phones.RATE},{stop / phones.RATE}"
            for phone, start, stop in phones.segments(name)
        ]
        phones.soundfile.write(tmp_path / f"{name}.wav", phones.wave(name), phones.RATE)
    for split, lines in rows.items():
        (tmp_path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    config = {
        "runner": {
            "total_steps": 30,
            "log_step": 15,
            "eval_step": 30,
            "save_step": 30,
            "eval_dataloaders": ["dev"],
        },
        "optimizer": {"name": "AdamW", "lr": 2e-2},
        "downstream_expert": block("nowhere", lists={"train": "train.csv", "dev": "dev.csv"}),
    }
    Path("own.yaml").write_text(yaml.safe_dump(config))
    assert downstream("-u", "fbank", "-d", "phone_linear", "-c", "own.yaml", "-p", "run") == 0
    assert Path("run/labels.txt").read_text().split() == ["AA", "M", "S", "SIL"]
    assert metrics(Path("run"))[-1]["acc"] > 0.5


def test_utterances_without_labels_are_counted_named_and_left_out(root, tmp_path, capsys):
    labels = copied_labels(root, tmp_path)
    gone = expected_ids()["test"][1]
    keep_lines(labels, lambda line: not line.startswith(gone))
    items = build(root, tmp_path, phone_path=str(labels)).listed("test")
    assert len(items) == 4 and gone not in [item.name for item in items]
    assert f"1 of 5 utterances of test have no labels in {labels}" in capsys.readouterr().err.replace(
        "/converted_aligned_phones.txt", ""
    )


def test_labels_of_another_corpus_are_refused(root, tmp_path):
    labels = copied_labels(root, tmp_path)
    keep_lines(labels, lambda line: not line.startswith(tuple(expected_ids()["dev"])))
    with pytest.raises(
        UserError, match=r"None of the 2 utterances of the split 'dev' has labels in .*phone_path"
    ):
        build(root, tmp_path, phone_path=str(labels)).listed("dev")


def test_labels_that_do_not_fit_their_recording_are_counted_and_named(root, tmp_path, capsys):
    labels = copied_labels(root, tmp_path)
    name = expected_ids()["test"][0]
    keep_lines(labels, lambda line: True, lambda line: line + " 0" * 9 if line.startswith(name) else line)
    build(root, tmp_path, phone_path=str(labels)).listed("test")
    said = capsys.readouterr().err
    assert f"1 of 5 utterances of test have more or fewer labels than frames of 10 ms: {name} (" in said
    build(root, tmp_path).listed("test")
    assert capsys.readouterr().err == ""


def test_a_phone_that_the_training_did_not_have_is_named_at_evaluation(root, tmp_path):
    labels = copied_labels(root, tmp_path)
    trained = labels / "phones.txt"
    trained.write_text(trained.read_text().replace("SIL", "XX"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/labels.txt").write_text("\n".join(phones.CLASSES))
    options = {"mode": "evaluate", "init_ckpt": str(tmp_path / "run/dev-best.ckpt")}
    settings = block(root, phone_path=str(labels))
    task = import_expert("phone_linear")(4, 160, downstream_expert=settings, expdir=str(tmp_path), **options)
    with pytest.raises(UserError, match=r"5 utterances of the split 'test' .* none of the 41 classes.*XX"):
        task.listed("test")


def test_lost_recordings_are_counted_before_the_training(root, tmp_path):
    shutil.copytree(root / "LibriSpeech", tmp_path / "LibriSpeech")
    for name in expected_ids()["dev"]:
        next((tmp_path / "LibriSpeech").rglob(f"{name}.flac")).unlink()
    with pytest.raises(UserError, match=r"2 of 2 audio files of the split 'dev' cannot be used") as error:
        build(root, tmp_path, libri_root=f"{tmp_path}/LibriSpeech").listed("dev")
    assert expected_ids()["dev"][0] in str(error.value) and "--bad_audio skip" in str(error.value)


@pytest.mark.parametrize(
    ("task", "datarc", "modelrc", "message"),
    [
        ("phone_linear", {"libri_root": "nowhere"}, {}, r"nowhere.*openslr.*phone_linear/mini\.yaml"),
        ("phone_1hidden", {"phone_path": "nowhere"}, {}, r"Phone labels .*nowhere.*github"),
        ("phone_linear", {"split_path": "nowhere"}, {}, r"There is no list .*nowhere/train_split\.txt"),
        ("phone_linear", {"phone_pth": "x"}, {}, "Did you mean 'phone_path'"),
        ("phone_linear_concat", {}, {"concat_n_frames": 4}, "must be an odd number above 1, not 4"),
        ("phone_1hidden", {}, {"dropout": 1.5}, "dropout must be from 0 to 1"),
        ("libri_phone", {}, {"select": "ConvBank", "ConvBank": {"kernels": [2]}}, "must be a list of odd"),
        ("libri_phone", {}, {"select": "ConvBnk"}, "Did you mean 'ConvBank'"),
        ("phone_linear", {"lists": {"train": "nowhere.csv"}}, {}, r"There is no list .*nowhere\.csv"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_config_is_found_first(root, task, datarc, modelrc, message):
    wrong = block(root, task, **datarc)
    wrong["modelrc"] = modelrc
    with pytest.raises(UserError, match=f"(?s){message}"):
        import_expert(task).check(wrong, ["train"])


def copied_labels(root, tmp_path):
    return Path(shutil.copytree(root / "labels", tmp_path / "labels"))


def keep_lines(labels, chosen, change=lambda line: line):
    path = labels / "converted_aligned_phones.txt"
    lines = [change(line) for line in path.read_text().splitlines() if chosen(line)]
    path.write_text("\n".join(lines) + "\n")
