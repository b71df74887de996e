"""Phone probes on TIMIT: what their labels are, that they learn, what a run reports, and mistakes."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, metrics
from timit_tones import make_timit

from s3prl.downstream.common.corpora import timit
from s3prl.downstream.timit_phone.expert import DownstreamExpert as ConvBankProbe
from s3prl.downstream.timit_phone_1hidden.expert import DownstreamExpert as HiddenProbe
from s3prl.downstream.timit_phone_linear.expert import DownstreamExpert as LinearProbe
from s3prl.downstream.timit_phone_linear_concat.expert import DownstreamExpert as ConcatProbe
from s3prl.upstream import registry
from s3prl.utility import get_best_dev
from s3prl.utility.audio import load
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

TASKS = {
    "timit_phone_linear": LinearProbe,
    "timit_phone_linear_concat": ConcatProbe,
    "timit_phone_1hidden": HiddenProbe,
    "timit_phone": ConvBankProbe,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_timit(tmp_path_factory.mktemp("timit"))


def block(root, task="timit_phone_linear", **datarc):
    """`downstream_expert` of a shipped config, on the corpus of `root`."""
    block = load_yaml(ROOT / f"downstream/{task}/config.yaml")["downstream_expert"]
    own = {"timit_root": str(root), "split_path": str(root), "bucket_file": None, "num_workers": 0}
    block["datarc"].update(own | datarc)
    return block


def build(root, task="timit_phone_linear", expdir="unused", **datarc):
    return TASKS[task](
        4, 160, downstream_expert=block(root, task, **datarc), expdir=str(expdir), mode="evaluate"
    )


def test_items_have_the_39_phones_and_glottal_stops_do_not_count(root):
    task = build(root)
    assert task.class_names == list(timit.PHONES) and len(task.class_names) == 39
    sizes = {split: task.split_size(split)[0] for split in ("train", "dev", "test")}
    assert sizes == {"train": 32, "dev": 16, "test": 16}
    items = task.listed("test")
    assert [item.samples for item in items] == sorted((item.samples for item in items), reverse=True)
    for item in items:
        path = root / "TEST" / f"{item.name.replace('-', '/')}.PHN"
        assert item.samples == soundfile.info(path.with_suffix(".WAV")).frames
        assert np.array_equal(task.target(item), timit.read_phones(path)) and item.label.dtype == np.int8
    assert any((item.label == -100).any() for item in items)


def test_the_tables_of_lengths_that_a_config_names_are_used(root, tmp_path):
    items = build(root).listed("dev")
    tabled = build(root, bucket_file=str(tmp_path)).listed("dev")
    assert (tmp_path / "TEST.csv").is_file()
    assert [(one.name, one.samples) for one in tabled] == [(one.name, one.samples) for one in items]


@pytest.mark.parametrize("task", TASKS)
def test_the_head_is_that_of_the_publication(root, task):
    model = build(root, task).model
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters() if "weight" in name}
    assert (
        shapes
        == {
            "timit_phone_linear": {"linear.weight": (39, 4)},
            "timit_phone_linear_concat": {"linear.weight": (39, 36)},
            "timit_phone_1hidden": {"in_linear.weight": (768, 4), "out_linear.weight": (39, 768)},
            "timit_phone": {
                "in_linear.weight": (64, 4),
                **{f"cnns.{number}.weight": (32, 64, width) for number, width in enumerate((3, 5, 7))},
                "out_linear.weight": (39, 96),
            },
        }[task]
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_shipped_configs_have_the_published_settings(task):
    config, mini = (load_yaml(ROOT / f"downstream/{task}/{name}.yaml") for name in ("config", "mini"))
    assert config["optimizer"] == {"name": "AdamW", "lr": 2e-4}
    assert config["downstream_expert"]["datarc"]["train_batch_size"] == 16
    steps = [config["runner"][field] for field in ("total_steps", "eval_step")]
    assert steps == {
        "timit_phone_linear": [300_000, 5_000],
        "timit_phone": [500_000, 1_000],
    }.get(task, [500_000, 10_000])
    assert config["downstream_expert"]["modelrc"] == mini["downstream_expert"]["modelrc"]
    assert config["runner"]["eval_dataloaders"] == mini["runner"]["eval_dataloaders"] == ["dev", "test"]


def train(downstream, root, task, steps):
    """A run in the folder `run`; returns the last accuracy of each split."""
    config = {
        "runner": {"total_steps": steps, "log_step": 20, "eval_step": 20, "save_step": steps, "max_keep": 1},
        "optimizer": {"name": "AdamW", "lr": 2e-2},
        "downstream_expert": block(root, task, train_batch_size=8),
    }
    config["runner"]["eval_dataloaders"] = ["dev", "test"]
    Path("timit.yaml").write_text(yaml.safe_dump(config))
    assert downstream("-m", "train", "-u", "fbank", "-d", task, "-c", "timit.yaml", "-p", "run") == 0
    return {line["split"]: line["acc"] for line in metrics(Path("run"))}


def frames_of(kind):
    """Utterance -> phones, from a prediction file of dev."""
    lines = Path(f"run/dev_{kind}.txt").read_text().splitlines()
    return {name: phones for name, *phones in map(str.split, lines)}


@pytest.mark.parametrize("task", [task for task in TASKS if task != "timit_phone"])
def test_a_few_steps_are_enough_to_hear_tones(root, downstream, task):
    last = train(downstream, root, task, 20)
    assert last["dev"] > 0.6 and last["test"] > 0.6  # 0.35 by always saying silence


def test_a_run_logs_in_the_public_form_and_its_evaluation_repeats(root, downstream, capsys):
    last = train(downstream, root, "timit_phone", 60)
    assert last["dev"] > 0.7 and last["test"] > 0.7
    for name in ("dev-best.ckpt", "best-states-dev.ckpt"):
        assert torch.load(f"run/{name}", weights_only=True)["Step"] in (20, 40, 60)
    lines = Path("run/log.log").read_text().splitlines()
    scored = [re.fullmatch(r"(best\|)?timit_phone/(\w+)-\|step:(\d+)\|acc:(.+)", line) for line in lines]
    best = max(float(match[4]) for match in scored if match[1])
    assert len(scored) == 9 and {match[2] for match in scored if match[1]} == {"dev"}
    capsys.readouterr()
    get_best_dev.main(["run/log.log"])
    assert f"{best:.4f}"[:5] in capsys.readouterr().out

    assert downstream("-m", "evaluate", "-t", "dev", "-e", "run/dev-best.ckpt") == 0
    assert json.loads(Path("run/result.json").read_text())["metrics"]["acc"] == best
    truth, predicted = frames_of("truth"), frames_of("predict")
    assert truth.keys() == predicted.keys() and len(truth) == 16
    pairs = [
        pair for name in truth for pair in zip(truth[name], predicted[name], strict=True) if pair[0] != "-"
    ]
    assert np.mean([one == other for one, other in pairs]) == pytest.approx(best)

    upstream = registry.get("timit_phone_posteriorgram")(ckpt="run/dev-best.ckpt").eval()
    with torch.no_grad():
        (posteriors,) = upstream([torch.from_numpy(load(root / "TEST/DR7/MPQR0/SX7.WAV"))])["hidden_states"]
    assert posteriors.shape[2] == 39 and torch.allclose(posteriors.sum(-1), torch.ones(posteriors.shape[:2]))
    found = [timit.PHONES[phone] for phone in posteriors[0].argmax(-1)]
    assert found == predicted["DR7-MPQR0-SX7"]


def test_labels_of_a_file_take_the_place_of_those_of_the_corpus(root, tmp_path, capsys):
    names = [item.name for split in timit.FOLDERS for item in timit.items(root, split, root)]
    lengths = {name: 30 + index % 3 for index, name in enumerate(names)}
    lengths.pop(names[0])
    (tmp_path / "converted_aligned_phones.txt").write_text(
        "".join(
            f"{name} {' '.join(str(frame % 39) for frame in range(count + 40))}\n"
            for name, count in lengths.items()
        )
    )
    task = build(root, phone_path=str(tmp_path))
    assert task.class_names == [str(number) for number in range(39)]
    items = {item.name: item for item in task.listed("train")}
    assert len(items) == 31 and items[names[1]].label.tolist()[:41] == [*range(39), 0, 1]
    assert f"1 of 32 utterances of train have no labels in {tmp_path}" in capsys.readouterr().err


def test_own_lists_take_the_place_of_the_corpus(root, tmp_path):
    shutil.copy(root / "TEST/DR1/FELC0/SX7.WAV", tmp_path / "a.wav")
    for split in ("train", "dev"):
        (tmp_path / f"{split}.csv").write_text("path,label,start,end\na.wav,iy,0,0.2\na.wav,sil,0.25,0.4\n")
    lists = {split: str(tmp_path / f"{split}.csv") for split in ("train", "dev")}
    LinearProbe.check(block(tmp_path / "nowhere", lists=lists), ["train", "dev"])
    task = build(tmp_path / "nowhere", lists=lists, expdir=tmp_path)
    assert task.class_names == ["iy", "sil"] and task.listed("dev")[0].label[:21].tolist() == [0] * 20 + [
        -100
    ]


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_corpus_names_the_config_of_the_task(tmp_path, task):
    with pytest.raises(UserError, match=rf"TIMIT's folder TRAIN .* downstream/{task}/mini\.yaml"):
        TASKS[task].check(block(tmp_path / "nowhere", task), ["train"])


@pytest.mark.parametrize(
    ("change", "splits", "message"),
    [
        ({}, ["tset"], "tset is not one of train, dev, test. Did you mean 'test'"),
        ({"timitroot": "x"}, ["train"], "Did you mean 'timit_root'"),
        ({"split_path": "nowhere"}, ["dev"], "There is no list .*nowhere/test_split.txt"),
        ({"phone_path": "nowhere"}, ["dev"], "Phone labels were looked for in .*nowhere. It does not exist"),
    ],
)
def test_a_mistake_in_the_config_is_found_first(root, change, splits, message):
    with pytest.raises(UserError, match=message):
        LinearProbe.check(block(root, **change), splits)


def test_the_test_set_alone_is_enough_to_evaluate(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "TIMIT")
    shutil.rmtree(copy / "TRAIN")
    LinearProbe.check(block(copy), ["test"])
    assert len(build(copy).listed("test")) == 16
    with pytest.raises(UserError, match=r"TIMIT's folder TRAIN .* It holds: TEST\."):
        LinearProbe.check(block(copy), ["train"])


def test_a_missing_recording_is_found_before_training(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "TIMIT")
    (copy / "TRAIN/DR1/FABC0/SX7.WAV").unlink()
    with pytest.raises(UserError, match=r"1 of 32 audio files of the split 'train' .*\n.*FABC0/SX7.WAV"):
        build(copy).listed("train")
