"""Intent classification: splits and slots of the corpus, what is learnt, reported and refused, own lists."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, metrics

from s3prl.downstream.common.items import Item
from s3prl.downstream.fluent_commands.expert import DownstreamExpert
from s3prl.training.report import MetricLogger
from s3prl.utility import get_best_dev
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import Recording

RATE = 16000
HEADER = ["", "path", "speakerId", "transcription", "action", "object", "location"]
SLOTS = ("action", "object", "location")
INTENTS = {
    ("change language", "none", "none"): 'OK, now switch the "main" language',
    ("activate", "lights", "kitchen"): "Turn on the lights in the kitchen",
    ("deactivate", "lights", "kitchen"): "Lights off, kitchen",
    ("activate", "lights", "none"): "Lights on",
    ("bring", "none", "none"): "Fetch it",
    ("deactivate", "lights", "none"): "Lights off",
}
# In the order of first appearance in the training table, which begins with the first two intents.
VALUES = {
    "action": ["change language", "activate", "deactivate", "bring"],
    "object": ["none", "lights"],
    "location": ["none", "kitchen"],
}
SPEAKERS = {"train": "ABCDEF", "valid": "GH", "test": "JK"}
SPLITS = {"train": 36, "dev": 12, "test": 12}
NORMALISED = {"pre_net": {"select": "FrameLevel", "FrameLevel": {"hiddens": [64]}}}


def say(path, intent, rng):
    """A tone for each slot, one after the other, whose pitch says the value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(RATE * rng.uniform(0.10, 0.12))) / RATE
    tones = [
        0.3 * np.sin(2 * np.pi * lowest * 1.3 ** VALUES[slot].index(value) * time)
        for lowest, slot, value in zip((300, 1200, 3000), SLOTS, intent, strict=True)
    ]
    wave = np.concatenate([*tones, np.zeros(RATE // 10)])
    soundfile.write(path, wave + rng.normal(0, 0.003, len(wave)), RATE)


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *([index, *row] for index, row in enumerate(rows))])


def make_corpus(root):
    """The official layout; a recording that no table lists; every speaker says every intent."""
    rng = np.random.default_rng(0)
    for split, speakers in SPEAKERS.items():
        rows = []
        for speaker in speakers:
            for number, (intent, text) in enumerate(INTENTS.items()):
                path = f"wavs/speakers/{speaker}/{speaker.lower()}-{number}.wav"
                say(root / path, intent, rng)
                rows.append([path, speaker, text, *intent])
        write_table(root / f"data/{split}_data.csv", rows)
    say(root / "wavs/speakers/A/unlisted.wav", ("bring", "none", "none"), rng)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("ic") / "fluent_speech_commands_dataset")


@pytest.fixture
def copied(root, tmp_path):
    """A corpus to damage."""
    return Path(shutil.copytree(root, tmp_path / "corpus"))


def block(root, **datarc):
    """`downstream_expert` of the shipped config, on the corpus of `root`."""
    block = load_yaml(ROOT / "downstream/fluent_commands/config.yaml")["downstream_expert"]
    block["datarc"].update({"file_path": str(root), "num_workers": 0, **datarc})
    return block


def build(root, expdir, **datarc):
    return DownstreamExpert(4, downstream_expert=block(root, **datarc), expdir=str(expdir))


def write_config(downstream_expert, **runner):
    """ic.yaml: a run of seconds."""
    config = {
        "runner": {
            "total_steps": 40, "log_step": 20, "eval_step": 20, "save_step": 40, "max_keep": 1,
            "eval_dataloaders": ["dev", "test"], **runner,
        },
        "optimizer": {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 1e-2},
        "downstream_expert": downstream_expert,
    }  # fmt: skip
    config["downstream_expert"]["datarc"]["train_batch_size"] = 12
    config["downstream_expert"]["modelrc"]["projector_dim"] = 64
    config["downstream_expert"]["modelrc"]["UtteranceLevel"]["after_cmvn"] = NORMALISED
    Path("ic.yaml").write_text(yaml.safe_dump(config))
    return ["-m", "train", "-d", "fluent_commands", "-c", "ic.yaml"]


def rows_of(path):
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def test_splits_and_slots_equal_a_reading_of_the_layout_by_hand(root, tmp_path):
    task = build(root, tmp_path)
    assert {split: task.split_size(split) for split in SPLITS} == {
        split: (count, None) for split, count in SPLITS.items()
    }
    first = {"train": "a", "dev": "g", "test": "j"}
    for split, speaker in first.items():
        items = task.items(split)
        path = str(root / f"wavs/speakers/{speaker.upper()}/{speaker}-1.wav")
        assert items[0].label == ("change language", "none", "none")
        assert items[1] == Item(f"{speaker}-1", Recording(path), ("activate", "lights", "kitchen"))
        assert task.target(items[1]) == [1, 1, 1] and task.target(items[4]) == [3, 0, 0]
    assert task.values == VALUES
    assert task.classes[:5] == [*(f"action: {name}" for name in VALUES["action"]), "object: none"]
    assert task.model.post_net.linear.out_features == 4 + 2 + 2


def test_a_training_learns_the_intents_from_fbank_and_its_evaluation_repeats_the_figure(
    root, downstream, capsys
):
    train = write_config(block(root))
    assert downstream(*train, "-u", "fbank", "-p", "run") == 0
    logged = metrics(Path("run"))
    last = {line["split"]: line for line in logged}
    assert last["test"]["acc"] > 0.8  # chance is 1/6
    for split in ("train", "dev", "test"):
        found = last[split]
        assert found["intent_loss"] == pytest.approx(found["loss"])
        assert found["acc"] <= min(found[f"{slot}_acc"] for slot in SLOTS) <= 1
    assert Path("run/labels.txt").read_text().splitlines()[3:5] == ["action: bring", "object: none"]

    best = max((line for line in logged if line["split"] == "dev"), key=lambda line: line["acc"])
    capsys.readouterr()
    assert get_best_dev.main(["run/log.log"]) == 0
    assert f"The best dev score {best['acc']} at step" in capsys.readouterr().out
    assert downstream("-m", "evaluate", "-t", "dev", "-e", "run/dev-best.ckpt") == 0
    result = json.loads(Path("run/result.json").read_text())["metrics"]
    assert {name: best[name] for name in result} == pytest.approx(result, abs=0)

    truth, predicted = rows_of("run/dev_truth.csv"), rows_of("run/dev_predict.csv")
    assert truth[0] == ["g-0", "change language", "none", "none"] and truth[-1][0] == "h-5"
    assert [row[0] for row in truth] == [row[0] for row in predicted] and len(truth) == 12
    right = np.array([one[1:] for one in truth]) == np.array([one[1:] for one in predicted])
    assert right.all(1).mean() == pytest.approx(result["acc"])
    for slot, share in zip(SLOTS, right.mean(0), strict=True):
        assert result[f"{slot}_acc"] == pytest.approx(share)

    heard = root / "wavs/speakers/G/g-0.wav"
    assert downstream("-m", "inference", "-t", heard, "-e", "run/dev-best.ckpt") == 0
    assert Path("run/inference.ark").read_text() == f"g-0 {', '.join(predicted[0][1:])}\n"


def test_the_loss_is_the_sum_of_a_cross_entropy_in_each_slot(root, tmp_path):
    task = build(root, tmp_path)
    items = task.items("train")[:5]
    torch.manual_seed(0)
    features = [torch.randn(frames, 4) for frames in (3, 4, 5, 6, 7)]
    targets = [task.target(item) for item in items]
    records = {name: [] for name in ("loss", "utterances", "correct", "correct_slots")}
    loss = task.train()("train", features, targets, items, records)
    expected, right = 0.0, np.ones(5, bool)
    chances = task.classify(features).detach()
    for slot, (start, end) in enumerate([(0, 4), (4, 6), (6, 8)]):
        of_slot = chances[:, start:end].log_softmax(1)
        expected -= np.mean([float(row[target[slot]]) for row, target in zip(of_slot, targets, strict=True)])
        right &= of_slot.argmax(1).numpy() == [target[slot] for target in targets]
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert task.scores("train", records)["acc"] == right.mean()


def test_a_cached_run_reads_means_and_ends_with_the_accuracy_of_one_without(root, downstream, capsys):
    train = [*write_config(block(root), total_steps=12, eval_step=12, save_step=12), "-u", "hubert_local"]
    train += ["-k", str(ROOT / "tests/data/hubert_base/ckpt.pt")]
    assert downstream(*train, "--upstream_alone", "-p", "plain") == 0
    capsys.readouterr()
    assert downstream(*train, "--cache", "cache", "-p", "means") == 0
    said = capsys.readouterr().out
    assert "mean in float32" in next(line for line in said.splitlines() if line.startswith("[Cache]"))
    plain, means = (
        {(line["split"], line["step"]): line for line in metrics(Path(run))} for run in ("plain", "means")
    )
    assert plain.keys() == means.keys() and ("test", 12) in plain
    for key, found in plain.items():
        assert means[key]["acc"] == found["acc"]
        assert means[key]["loss"] == pytest.approx(found["loss"], rel=1e-3)
    assert Path("means/test_predict.csv").read_text() == Path("plain/test_predict.csv").read_text()


def test_many_means_at_once_are_scored_as_one_by_one(root, tmp_path):
    task = build(root, tmp_path)
    assert task.reads == "mean"
    means = torch.randn(20, 1, 4)  # more than outputs, so that the layers are folded
    each = torch.cat([task.classify([one]) for one in means])
    assert torch.allclose(task.classify(means), each, atol=1e-6)


def test_every_slot_has_a_confusion_matrix(root, downstream, monkeypatch):
    shown = {}
    monkeypatch.setattr(
        MetricLogger, "add_image", lambda self, tag, image, *rest, **kw: shown.update({tag: image.shape}),
        raising=False,
    )  # fmt: skip
    train = write_config(block(root), total_steps=2, eval_step=2, save_step=2)
    assert downstream(*train, "-u", "fbank", "-p", "run") == 0
    tags = {f"fluent_commands/{split}-{slot}-confusion" for split in ("dev", "test") for slot in SLOTS}
    assert shown.keys() == tags and all(shape[2] == 3 for shape in shown.values())


def own_lists(root, folder):
    """Lists of one's own, one of them in JSON; a few columns, in another order."""
    rows = {split: rows_of(root / f"data/{name}_data.csv")[1:] for split, name in
            (("train", "train"), ("dev", "valid"), ("test", "test"))}  # fmt: skip
    for split in ("train", "dev"):
        lines = [",".join([location, action, str(root / path), object])
                 for _, path, _, _, action, object, location in rows[split]]  # fmt: skip
        Path(folder, f"{split}.csv").write_text("\n".join(["location,action,path,object", *lines]))
    lines = [json.dumps({"path": str(root / row[1]), **dict(zip(SLOTS, row[4:], strict=True))})
             for row in rows["test"]]  # fmt: skip
    Path(folder, "test.jsonl").write_text("\n".join(lines))
    return {"train": "train.csv", "dev": "dev.csv", "test": "test.jsonl"}


def test_lists_of_ones_own_take_the_place_of_the_corpus(root, workdir, downstream):
    config = block("nowhere", lists=own_lists(root, workdir))
    train = write_config(config)
    assert downstream(*train, "-u", "fbank", "-p", "run") == 0
    best = {line["split"]: line["acc"] for line in metrics(Path("run"))}
    assert best["test"] > 0.8
    Path("train.csv").unlink()  # evaluation takes the values of the slots from labels.txt
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0
    found = rows_of("run/test_truth.csv")[0]
    assert found == [str(root / "wavs/speakers/J/j-0"), "change language", "none", "none"]


def test_a_missing_or_incomplete_corpus_is_named_with_the_ways_to_get_it(copied, tmp_path):
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block(tmp_path / "none"), ["train"])
    for text in (
        f"{tmp_path}/none", "That folder does not exist", "https://fluent.ai/",
        "downstream_expert.datarc.file_path",
        "fluent_commands --output data/mini", "-c downstream/fluent_commands/mini.yaml",
    ):  # fmt: skip
        assert text in str(error.value)
    DownstreamExpert.check(block(copied), ["train", "dev", "test"])
    (copied / "data/valid_data.csv").unlink()
    DownstreamExpert.check(block(copied), ["train", "test"])
    with pytest.raises(UserError, match=r"It lacks data/valid_data\.csv\. Is the archive fully extracted"):
        DownstreamExpert.check(block(copied), ["train", "dev"])
    shutil.rmtree(copied / "wavs")
    with pytest.raises(UserError, match="It lacks wavs"):
        DownstreamExpert.check(block(copied), ["train"])


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def damage(root, what):
    if what == "column":
        change(root / "data/valid_data.csv", "location", "place")
    elif what == "label":
        change(root / "data/valid_data.csv", "Fetch it,bring", "Fetch it,brin")
    elif what == "empty cell":
        change(root / "data/test_data.csv", "Fetch it,bring", "Fetch it,")
    elif what == "empty split":
        write_table(root / "data/test_data.csv", [])
    elif what == "no file":
        (root / "wavs/speakers/K/k-3.wav").unlink()
    else:
        (root / "wavs/speakers/G/g-2.wav").write_bytes(b"RIFF no audio")


@pytest.mark.parametrize(
    ("what", "messages"),
    [
        ("column", ["valid_data.csv has no column 'location'"]),
        ("label", ["The split 'dev' has labels", "'action: brin' (2 x, first g-4)", "mean 'action: bring'"]),
        ("empty cell", ["test_data.csv, line", "'action' is empty"]),
        ("empty split", ["test_data.csv has no rows"]),
        ("no file", ["audio files of the split 'test'", "k-3.wav"]),
        ("no audio", ["1 of 12 audio files of the split 'dev'", "g-2.wav", "--bad_audio skip"]),
    ],
)
def test_data_that_would_end_a_run_in_the_middle_is_refused_before_it(
    copied, downstream, capsys, what, messages
):
    damage(copied, what)
    train = write_config(block(copied), total_steps=2)
    assert downstream(*train, "-u", "fbank", "-p", "run") == 2
    error = capsys.readouterr().err
    assert all(message in error for message in messages), error
    assert "Traceback" not in error and not Path("run/metrics.jsonl").exists()


def test_a_config_and_a_head_of_the_public_package_fit(tmp_path):
    intents = [("change language", f"object {number}", "none") for number in range(14)]
    intents += [(f"action {number % 5}", "object 0", f"location {number % 3}") for number in range(15)]
    write_table(
        tmp_path / "data/train_data.csv", [(f"wavs/{n}.wav", "A", "", *i) for n, i in enumerate(intents)]
    )
    (tmp_path / "wavs").mkdir()
    public = {
        "datarc": {
            "file_path": str(tmp_path), "num_workers": 12, "train_batch_size": 32, "eval_batch_size": 32,
        },
        "modelrc": {
            "projector_dim": 256, "select": "UtteranceLevel", "UtteranceLevel": {"pooling": "MeanPooling"},
        },
    }  # fmt: skip
    DownstreamExpert.check(public, ["train"])
    task = DownstreamExpert(4, downstream_expert=public, expdir=str(tmp_path))
    assert [len(values) for values in task.values.values()] == [6, 14, 4]
    assert {name: tuple(value.shape) for name, value in task.state_dict().items() if "weight" in name} == {
        "projector.weight": (256, 4),
        "model.post_net.linear.weight": (24, 256),
    }


@pytest.mark.parametrize("name", ["config", "mini"])
def test_the_shipped_configs_have_the_settings_of_superb(name):
    config = load_yaml(ROOT / f"downstream/fluent_commands/{name}.yaml")
    modelrc = config["downstream_expert"]["modelrc"]
    assert (modelrc["projector_dim"], modelrc["select"]) == (256, "UtteranceLevel")
    assert modelrc["UtteranceLevel"]["pooling"] == "MeanPooling"
    assert config["runner"]["eval_dataloaders"] == ["dev", "test"] and config["runner"]["max_keep"] == 1
    if name == "config":
        runner, datarc = config["runner"], config["downstream_expert"]["datarc"]
        assert config["optimizer"] == {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 1e-4}
        assert (runner["total_steps"], runner["eval_step"], runner["save_step"]) == (200000, 5000, 250)
        assert (datarc["train_batch_size"], datarc["eval_batch_size"]) == (32, 32)
