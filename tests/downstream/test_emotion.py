"""Emotion recognition: the folds of IEMOCAP, who is in which split, the lists, and that it learns."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, metrics, same
from emotions import EMOTIONS, kept, make_emotions
from torch.utils.data import random_split

from s3prl.downstream.emotion import IEMOCAP_preprocess
from s3prl.downstream.emotion.expert import DownstreamExpert
from s3prl.training.randomness import random_state
from s3prl.utility import get_best_dev
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

OTHERS = {fold: [one for one in range(1, 6) if one != fold] for fold in range(1, 6)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_emotions(tmp_path_factory.mktemp("er") / "IEMOCAP")


@pytest.fixture
def own_root(root, tmp_path):
    """A copy to change: folders are its own, recordings are links."""
    for path in root.rglob("*"):
        if path.is_file():
            place = tmp_path / "corpus" / path.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    return tmp_path / "corpus"


def block(root, **datarc):
    """`downstream_expert` of the shipped config, on the corpus of `root`."""
    block = load_yaml(ROOT / "downstream/emotion/config.yaml")["downstream_expert"]
    block["datarc"].update({"root": str(root), "num_workers": 0, **datarc})
    return block


def build(root, variant=None, overridden=(), **datarc):
    return DownstreamExpert(
        4, downstream_expert=block(root, **datarc), expdir="unused",
        downstream_variant=variant, overridden=overridden,
    )  # fmt: skip


def heard(task, split):
    """(path below the corpus, label) of a split, in its order."""
    return [
        (Path(item.recording.path).relative_to(task.settings.root).as_posix(), item.label)
        for item in task.listed(split)
    ]


def config(root, **runner):
    """A run of a few seconds."""
    fields = {"total_steps": 40, "log_step": 20, "eval_step": 20, "save_step": 40, "max_keep": 1, **runner}
    return {
        "runner": {"gradient_clipping": 1, **fields, "eval_dataloaders": ["dev", "test"]},
        "optimizer": {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 2e-2},
        "downstream_expert": block(root, train_batch_size=16),
    }


def train(upstream, **options):
    Path("er.yaml").write_text(yaml.safe_dump(options.pop("config")))
    given = [text for name, value in options.items() for text in (f"-{name}", value)]
    return ["-m", "train", "-u", upstream, "-d", "emotion", "-c", "er.yaml", *given]


@pytest.mark.parametrize("number", range(1, 6))
def test_a_fold_tests_one_session_and_trains_on_the_other_four(root, number):
    task = build(root, f"fold{number}")
    assert heard(task, "test") == kept(number)  # by file and line; exc is hap, other labels are left out
    train, dev = heard(task, "train"), heard(task, "dev")
    assert sorted(train + dev) == sorted(kept(*OTHERS[number])) and not set(train) & set(dev)
    sizes = {1: (90, 20), 2: (90, 20), 3: (80, 30), 4: (90, 20), 5: (90, 20)}[number]  # session 3 is longer
    assert (len(train + dev), len(heard(task, "test"))) == sizes
    assert (len(train), len(dev)) == (int(0.8 * sizes[0]), sizes[0] - int(0.8 * sizes[0]))
    labels = Counter(label for _, label in heard(task, "test"))
    assert labels == {
        "neu": sizes[1] // 5,
        "hap": 2 * sizes[1] // 5,
        "ang": sizes[1] // 5,
        "sad": sizes[1] // 5,
    }
    assert task.classes == EMOTIONS and task.split_size("test") == (sizes[1], None)


def test_the_first_entries_are_those_of_a_reading_by_hand(root):
    first = build(root, "fold2").listed("test")[0]
    assert first.name == "Ses02F_impro01_F000.wav" and first.label == "hap"
    assert first.recording.path == f"{root}/Session2/sentences/wav/Ses02F_impro01/{first.name}"


def test_the_development_set_is_that_of_the_public_version_and_leaves_the_run_its_randomness(root):
    task, before = build(root, "fold4"), random_state()
    found = task.listed("dev")
    assert same(before, random_state())
    names = [Path(path).name for path, _ in kept(*OTHERS[4])]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _, dev = random_split(names, [int(0.8 * len(names)), len(names) - int(0.8 * len(names))])
    assert [item.name for item in found] == list(dev)


@pytest.mark.parametrize(
    ("variant", "configured", "fold"),
    [
        (None, "fold1", "fold1"),
        (None, "fold3", "fold3"),
        ("fold2", "fold1", "fold2"),
        ("fold 5", "fold 1", "fold5"),
    ],
)
def test_v_chooses_the_fold_before_the_config(root, variant, configured, fold):
    task = build(root, variant, test_fold=configured)
    assert (task.fold, task.name) == (fold, f"emotion-{fold}")


def test_a_fold_that_does_not_exist_or_is_contradicted_is_refused(root):
    with pytest.raises(UserError, match=r"-v: fold6 is not one of fold1, .*, fold5. Did you mean"):
        build(root, "fold6")
    with pytest.raises(UserError, match=r"downstream_expert.datarc.test_fold: 1 is not one of fold1"):
        DownstreamExpert.check(block(root, test_fold="1"), ["test"])
    with pytest.raises(
        UserError, match=r"-v fold2 and -o config.downstream_expert.datarc.test_fold=fold3 differ"
    ):
        build(root, "fold2", ["downstream_expert.datarc.test_fold"], test_fold="fold3")


def test_the_script_writes_the_lists_of_the_public_version(own_root, capsys):
    assert IEMOCAP_preprocess.main([str(own_root)]) == 0
    said = capsys.readouterr()
    assert "Session3: 80 utterances to train on, 30 to test on" in said.out and said.err == ""
    content = json.loads((own_root / "meta_data/Session3/train_meta_data.json").read_text())
    assert content["labels"] == {"neu": 0, "hap": 1, "ang": 2, "sad": 3}
    expected = [
        {"path": path, "label": label, "speaker": Path(path).name.split("_")[0]}
        for path, label in kept(1, 2, 4, 5)
    ]
    assert content["meta_data"] == expected
    listed = {split: heard(build(own_root, "fold3"), split) for split in ("train", "dev", "test")}
    (own_root / "meta_data").rename(own_root / "elsewhere")
    assert listed == {split: heard(build(own_root, "fold3"), split) for split in ("train", "dev", "test")}


def test_the_script_runs_from_its_folder_by_its_name(root, tmp_path):
    said = subprocess.run(
        [sys.executable, "IEMOCAP_preprocess.py", str(root), "--output", str(tmp_path)],
        cwd=ROOT / "downstream/emotion", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Session1: 90 utterances to train on, 20 to test on" in said.stdout
    assert len(list(tmp_path.glob("Session*/*_meta_data.json"))) == 10


def test_the_script_tells_what_has_no_recording_and_where_it_cannot_write(own_root, tmp_path, capsys):
    lost = own_root / kept(2)[0][0]
    lost.unlink()
    (own_root / "meta_data").write_text("in the way")
    assert IEMOCAP_preprocess.main([str(own_root)]) == 2
    assert "cannot be written" in (said := capsys.readouterr().err) and "Training needs no lists" in said
    assert IEMOCAP_preprocess.main([str(own_root), "--output", str(tmp_path / "lists")]) == 0
    assert f"1 of the utterances have no recording (the first: {lost})" in capsys.readouterr().err


def test_lists_decide_order_and_content_where_they_are_given(own_root, tmp_path):
    IEMOCAP_preprocess.main([str(own_root)])
    file = own_root / "meta_data/Session1/test_meta_data.json"
    content = json.loads(file.read_text())
    content["meta_data"].reverse()
    file.write_text(json.dumps(content))
    assert heard(build(own_root), "test") == kept(1)[::-1]
    (own_root / "meta_data").rename(tmp_path / "lists")
    assert heard(build(own_root), "test") == kept(1)
    listed = build(own_root, meta_data=str(tmp_path / "lists"))
    assert heard(listed, "test") == kept(1)[::-1]
    file = tmp_path / "lists/Session1/test_meta_data.json"
    file.write_text(json.dumps({**content, "labels": {"neu": 0, "hap": 1}}))
    with pytest.raises(UserError, match=r"Session1/test_meta_data.json: its labels are .* but they must be"):
        listed.items("test")
    file.write_text('{"meta_data": 3}')
    with pytest.raises(UserError, match="is no list of utterances"):
        listed.items("test")
    file.unlink()
    with pytest.raises(UserError, match=r"There is no list .*Session1/test_meta_data.json"):
        listed.items("test")


def test_a_short_training_learns_the_emotions_and_evaluating_it_repeats_the_figure(root, downstream, capsys):
    run = train("fbank_no_cmvn", config=config(root), p="run", v="fold3")
    assert downstream(*run) == 0
    capsys.readouterr()
    assert get_best_dev.main(["run/log.log"]) == 0
    best = capsys.readouterr().out
    lines = {(line["split"], line["step"]): line["acc"] for line in metrics(Path("run")) if "acc" in line}
    step = int(best.partition("at step ")[2].partition(",")[0])
    dev, test = lines["dev", step], lines["test", step]
    assert f"The best dev score {dev} at step {step}, accompanied by this test score {test}" in best
    assert test > 0.7  # chance is 0.25, the most frequent emotion 0.4
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0  # of fold3, without -v
    assert json.loads(Path("run/result.json").read_text())["metrics"]["acc"] == test
    truth, predicted = (
        [line.split() for line in Path(f"run/test_fold3_{kind}.txt").read_text().splitlines()]
        for kind in ("truth", "predict")
    )
    assert truth == sorted([Path(path).name, label] for path, label in kept(3))
    right = np.mean([one == other for one, other in zip(truth, predicted, strict=True)])
    assert right == pytest.approx(test) and Path("run/dev_fold3_predict.txt").is_file()


def test_means_of_the_cache_give_the_accuracies_of_a_run_without_it(root, downstream, capsys):
    hubert = ["-k", str(ROOT / "tests/data/hubert_base/ckpt.pt")]
    short = config(root, total_steps=10, log_step=5, eval_step=10, save_step=10)
    cache = ["--cache", "cache", "--cache_dtype", "float32"]
    assert downstream(*train("hubert_local", config=short, p="plain"), *hubert, "--upstream_alone") == 0
    capsys.readouterr()
    assert downstream(*train("hubert_local", config=short, p="cached"), *hubert, *cache) == 0
    assert ": mean in float32" in capsys.readouterr().out
    one, other = (
        [(line["split"], line["step"], line["acc"]) for line in metrics(Path(name)) if "acc" in line]
        for name in ("plain", "cached")
    )
    assert len(one) == 4 and one == other


def test_lists_of_your_own_take_the_place_of_the_corpus(root, downstream, tmp_path):
    for split, sessions in (("train", (1, 2)), ("dev", (3,)), ("test", (4,))):
        rows = [
            f"{root}/{path},{'calm' if label in ('neu', 'sad') else 'lively'}"
            for path, label in kept(*sessions)
        ]
        Path(f"{split}.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    own = config("nowhere", total_steps=4, log_step=4, eval_step=4, save_step=4)
    own["downstream_expert"]["datarc"]["lists"] = {
        split: f"{split}.csv" for split in ("train", "dev", "test")
    }
    assert downstream(*train("fbank_no_cmvn", config=own, p="run")) == 0
    assert Path("run/labels.txt").read_text().split() == ["calm", "lively"]
    assert len(Path("run/test_truth.txt").read_text().splitlines()) == len(kept(4))
    assert downstream(*train("fbank_no_cmvn", config=own, p="fold", v="fold2")) == 2


def test_a_missing_or_incomplete_corpus_is_named_with_the_ways_to_get_it(own_root, tmp_path):
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block(tmp_path / "nowhere"), ["train"])
    for text in (
        f"{tmp_path}/nowhere", "That folder does not exist", "https://sail.usc.edu/iemocap/",
        "downstream_expert.datarc.root", "emotion --output data/mini", "-c downstream/emotion/mini.yaml",
    ):  # fmt: skip
        assert text in str(error.value)
    with pytest.raises(
        UserError, match=r"It lacks Session1/sentences/wav and 9 more. Sessions are in .*/corpus"
    ):
        DownstreamExpert.check(block(tmp_path), ["train"])
    (own_root / "Session4/sentences").rename(own_root / "Session4/speech")
    with pytest.raises(UserError, match=r"It lacks Session4/sentences/wav\. "):
        DownstreamExpert.check(block(own_root), ["train"])


def test_a_session_without_labels_and_a_line_without_tabs_are_named(own_root):
    folder = own_root / "Session2/dialog/EmoEvaluation"
    for path in folder.glob("*.txt"):
        path.unlink()
    with pytest.raises(UserError, match=r"Session2/dialog/EmoEvaluation has no .txt file with an utterance"):
        build(own_root).items("train")
    (folder / "Ses02F_impro01.txt").write_text("%\n\n[0.0 - 1.0] Ses02F_impro01_F000 neu [2.5, 2.5, 2.5]\n")
    with pytest.raises(UserError, match=r"Ses02F_impro01.txt, line 3: expected .* with tabs between"):
        build(own_root).items("train")


def test_a_missing_and_an_unreadable_recording_are_found_before_training(own_root, downstream, capsys):
    lost, broken = (own_root / path for path, _ in kept(5)[3:5])
    lost.unlink()
    broken.unlink()
    broken.write_bytes(b"RIFF")
    run = train("fbank_no_cmvn", config=config(own_root, total_steps=2, eval_step=2), p="run", v="fold5")
    assert downstream(*run) == 2
    said = capsys.readouterr().err
    assert "2 of 20 audio files of the split 'test' cannot be used" in said
    assert lost.name in said and broken.name in said and not Path("run/metrics.jsonl").is_file()
    assert downstream(*run, "--bad_audio", "skip") == 0
    assert lost.name in Path("run/bad_audio.tsv").read_text()


def test_a_config_of_the_public_package_is_taken_but_its_unusable_head_cannot_be_selected(root):
    public = block(root, pre_load=True)
    public["modelrc"]["DeepModel"] = {"model_type": "CNNSelfAttention", "hidden_dim": 80}
    DownstreamExpert.check(public, ["train", "dev", "test"])
    task = DownstreamExpert(4, downstream_expert=public, expdir="unused")
    assert task.reads == "mean" and "DeepModel" in public["modelrc"]
    shapes = {name: tuple(value.shape) for name, value in task.state_dict().items() if "weight" in name}
    assert shapes == {"projector.weight": (256, 4), "model.post_net.linear.weight": (4, 256)}
    public["modelrc"]["select"] = "DeepModel"
    with pytest.raises(UserError, match="select: DeepModel is not one of FrameLevel"):
        DownstreamExpert.check(public, ["train"])


@pytest.mark.parametrize("pooling", ["AttentivePooling", "StatisticsPooling"])
def test_other_poolings_can_be_selected(root, pooling):
    chosen = block(root)
    chosen["modelrc"]["UtteranceLevel"]["pooling"] = pooling
    DownstreamExpert.check(chosen, ["train"])
    task = DownstreamExpert(4, downstream_expert=chosen, expdir="unused")
    assert task.reads == "frames" and task.classify([torch.ones(3, 4), torch.ones(5, 4)]).shape == (2, 4)


def test_an_empty_split_and_a_label_that_is_no_emotion_are_found_before_training(own_root):
    with pytest.raises(UserError, match="The split 'dev' of emotion-fold1 has no utterance"):
        build(own_root, valid_ratio=0).listed("dev")
    IEMOCAP_preprocess.main([str(own_root)])
    file = own_root / "meta_data/Session1/test_meta_data.json"
    content = json.loads(file.read_text())
    content["meta_data"][2]["label"] = "fru"
    file.write_text(json.dumps(content))
    name = Path(content["meta_data"][2]["path"]).name
    with pytest.raises(UserError, match=rf"none of the 4 classes: 'fru' \(1 x, first {name}\)"):
        build(own_root).listed("test")


@pytest.mark.parametrize(
    ("change", "splits", "message"),
    [
        ({"valid_ratio": 1.5}, ["train"], "valid_ratio must be from 0 to 1, not 1.5"),
        ({"testfold": "fold1"}, ["train"], "Did you mean 'test_fold'"),
        ({}, ["dve"], "dve is not one of train, dev, test. Did you mean 'dev'"),
    ],
)
def test_a_mistake_in_the_config_is_found_first(root, change, splits, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        DownstreamExpert.check(block(root, **change), splits)


def test_the_shipped_configs_have_the_settings_of_superb():
    config, mini = (load_yaml(ROOT / f"downstream/emotion/{name}.yaml") for name in ("config", "mini"))
    runner, datarc = config["runner"], config["downstream_expert"]["datarc"]
    assert (runner["total_steps"], runner["gradient_accumulate_steps"]) == (30000, 8)
    assert (runner["log_step"], runner["eval_step"], runner["save_step"]) == (500, 1000, 1000)
    assert (datarc["train_batch_size"], datarc["eval_batch_size"], datarc["valid_ratio"]) == (4, 4, 0.2)
    assert datarc["test_fold"] == "fold1" and config["optimizer"]["lr"] == 1e-4
    for one in (config, mini):
        assert one["downstream_expert"]["modelrc"]["projector_dim"] == 256
        assert one["runner"]["eval_dataloaders"] == ["dev", "test"] and one["runner"]["max_keep"] == 1
