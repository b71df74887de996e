"""Keyword spotting: which recording is in which split and class, how they are drawn, and that it learns."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, metrics
from keywords import CLASSES, NOISES, RATE, WORDS, make_keywords, speakers, write

from s3prl.downstream.common.corpora import speech_commands as corpus
from s3prl.downstream.speech_commands.expert import DownstreamExpert
from s3prl.training.sampling import Shard, evaluation_batches, plan_epoch
from s3prl.utility.bad_audio import ReadRecordings
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.speech_commands import split_of

# Speakers whose hash is the last of dev, the first and the last that are left out, and the first of train.
EDGES = {"104a3672": "dev", "03e0a2e7": "test", "012dfed6": "test", "096d5c45": "train"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """corpus/ and test_set/ in the official layout, with five training speakers, two of dev, one of test."""
    return make_keywords(tmp_path_factory.mktemp("ks"))


def block(root, **datarc):
    """`downstream_expert` of the shipped config, on the corpus of `root`."""
    block = load_yaml(ROOT / "downstream/speech_commands/config.yaml")["downstream_expert"]
    roots = {"speech_commands_root": f"{root}/corpus", "speech_commands_test_root": f"{root}/test_set"}
    block["datarc"].update({**roots, "num_workers": 0, **datarc})
    return block


def build(root, expdir="unused", **datarc):
    return DownstreamExpert(4, downstream_expert=block(root, **datarc), expdir=str(expdir))


def heard(task, split, seed=1):
    """(name, wave) of everything an evaluation hears, in its order."""
    _, batches = evaluation_batches(task.get_dataloader(split), seed, Shard(), prepare=ReadRecordings())
    return [
        (item.name, wave)
        for loaded in batches
        for wave, item in zip(loaded.batch[0], loaded.batch[2], strict=True)
    ]


def test_the_hash_of_the_speaker_decides_the_split_also_at_its_edges():
    for speaker, split in EDGES.items():
        assert {split_of(f"{speaker}_nohash_{number}.wav") for number in range(5)} == {split}
    for split in ("train", "dev", "test"):
        assert {split_of(f"{speaker}_nohash_0.wav") for speaker in speakers(split, 20)} == {split}


def test_splits_and_classes_equal_a_reading_of_the_layout_by_hand(root):
    task = build(root)
    for split, count in (("train", 5), ("dev", 2)):
        items = task.items(split)
        expected = {f"{word}-{name}_nohash_0.wav" for word in WORDS for name in speakers(split, count)}
        expected |= {f"_background_noise_-{name}.wav" for name in NOISES}
        assert {item.name for item in items} == expected and len(items) == len(expected)
        counts = Counter(item.label for item in items)
        assert counts == {**dict.fromkeys(CLASSES[:10], count), "_unknown_": 2 * count, "_silence_": 3}
        assert task.split_size(split) == (len(expected), None)
    assert [task.target(item) for item in items if item.name.startswith("stop-")] == [8, 8]
    assert {task.target(item) for item in items if item.label == "_silence_"} == {11}
    assert all(item.recording.gain == -3.0 for item in items)


def test_the_test_set_comes_in_order_and_its_silence_is_heard_whole(root):
    task = build(root)
    names = [item.name for item in task.items("test")]
    assert len(names) == 13 and names == sorted(names) and names[0] == "_silence_-tap.wav"
    labels = Counter(item.label for item in task.items("test"))
    assert labels == {**dict.fromkeys(CLASSES, 1), "_unknown_": 2}
    waves = heard(task, "test")
    assert [name for name, _ in waves] == names and len(waves[0][1]) == RATE * 5 // 4
    whole, _ = soundfile.read(root / "test_set/_silence_/tap.wav", dtype="float32")
    np.testing.assert_allclose(waves[0][1], whole * 10 ** (-3 / 20), rtol=1e-5)


def test_training_draws_classes_equally_often_in_full_batches_only(root):
    loader = build(root).get_dataloader("train")
    labels = [item.label for item in loader.dataset.items]
    plans = [plan_epoch(loader, 1, epoch, Shard()) for epoch in range(60)]
    assert {len(indices) for plan in plans for ((indices, _),) in plan} == {32}
    assert {len(plan) for plan in plans} == {len(labels) // 32}
    drawn = Counter(labels[index] for plan in plans for ((indices, _),) in plan for index in indices)
    mean = drawn.total() / len(CLASSES)
    assert drawn.keys() == set(CLASSES) and all(0.75 < count / mean < 1.25 for count in drawn.values())
    assert plans[0] != plans[1]


def test_the_development_set_is_balanced_and_the_same_every_time(root):
    first, again = (heard(build(root), "dev") for _ in range(2))
    assert len(first) == 27  # as many as there are, but drawn with replacement
    assert len({name for name, _ in first}) < 27
    assert [name for name, _ in first] == [name for name, _ in again]
    assert all(np.array_equal(one, other) for (_, one), (_, other) in zip(first, again, strict=True))


def silences(task, draws=60):
    """Index of the background noise of three seconds, and the recordings that it gives."""
    dataset = task.get_dataloader("train").dataset
    index = [item.name for item in dataset.items].index("_background_noise_-white_noise.wav")
    return index, [dataset[index][0] for _ in range(draws)]


def test_silence_is_a_second_from_one_of_the_places_that_can_be_listed(root):
    task, prepare = build(root, silence_crops=8), ReadRecordings()
    index, drawn = silences(task)
    choices = task.get_dataloader("train").dataset.choices(index)
    assert set(drawn) == set(choices) and len(choices) == 8 and not any(one.drawn for one in drawn)
    whole, _ = soundfile.read(root / "corpus/_background_noise_/white_noise.wav", dtype="float32")
    for number, choice in enumerate(choices):
        start = round(number / 7 * (len(whole) - RATE))
        expected = whole[start : start + RATE] * 10 ** (-3 / 20)
        np.testing.assert_allclose(prepare((choice,))[0], expected, rtol=1e-5)


def test_silence_from_any_place_cannot_be_listed(root):
    task = build(root, silence_crops=None)
    index, drawn = silences(task)
    assert task.get_dataloader("train").dataset.choices(index) is None
    assert len(set(drawn)) == len(drawn) and all(one.drawn for one in drawn)


def test_words_are_their_own_only_choice_and_short_noises_are_heard_whole(root):
    dataset = build(root).get_dataloader("train").dataset
    assert dataset.choices(0) == [dataset.items[0].recording] == [dataset[0][0]]
    index = [item.name for item in dataset.items].index("_background_noise_-blip.wav")
    assert len(ReadRecordings()(dataset[index])[0]) == RATE // 2


def test_a_noise_that_is_drawn_twice_is_heard_at_two_places(root):
    for seed in range(10):
        found = heard(build(root), "dev", seed)
        noises = [wave for name, wave in found if name.endswith(("white_noise.wav", "running_tap.wav"))]
        if len(noises) > 2:  # of two noises
            break
    assert len(noises) > 2 and len({wave.tobytes() for wave in noises}) == len(noises)


def test_a_short_training_learns_the_words_and_writes_what_it_predicted(root, downstream):
    config = {
        "runner": {"total_steps": 60, "log_step": 20, "eval_step": 30, "save_step": 60, "max_keep": 1},
        "optimizer": {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 2e-2},
        "downstream_expert": block(root, silence_crops=10, batch_size=16),
    }
    config["runner"]["eval_dataloaders"] = ["dev", "test"]
    Path("ks.yaml").write_text(yaml.safe_dump(config))
    train = ["-m", "train", "-u", "fbank_no_cmvn", "-d", "speech_commands", "-c", "ks.yaml", "-p", "run"]
    assert downstream(*train) == 0
    last = {line["split"]: line["acc"] for line in metrics(Path("run"))}
    assert last["dev"] > 0.7 and last["test"] > 0.7  # chance is 1/12
    assert json.loads(Path("run/metric.json").read_text()) == {
        "name": "acc", "lower_is_better": False, "split": "dev",
    }  # fmt: skip
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0
    truth, predicted = (
        [line.split() for line in Path(f"run/test_{kind}.txt").read_text().splitlines()]
        for kind in ("truth", "predict")
    )
    assert ["yes-" + next((root / "test_set/yes").iterdir()).name, "yes"] in truth
    assert [name for name, _ in truth] == [name for name, _ in predicted]
    right = np.mean([one == other for one, other in zip(truth, predicted, strict=True)])
    assert right == pytest.approx(json.loads(Path("run/result.json").read_text())["metrics"]["acc"])


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_missing_corpus_is_named_with_the_ways_to_get_it(tmp_path, split):
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block(tmp_path), [split])
    folder = "test_set" if split == "test" else "corpus"
    archive = "speech_commands_test_set_v0.01" if split == "test" else "speech_commands_v0.01"
    field = "speech_commands_test_root" if split == "test" else "speech_commands_root"
    for text in (
        f"{tmp_path}/{folder}", "That folder does not exist", f"downstream_expert.datarc.{field}",
        f"http://download.tensorflow.org/data/{archive}.tar.gz", "speech_commands --output data/mini",
    ):  # fmt: skip
        assert text in str(error.value)


def test_a_test_set_in_the_place_of_the_corpus_is_noticed(root):
    swapped = block(root, speech_commands_root=f"{root}/test_set")
    DownstreamExpert.check(swapped, ["test"])
    with pytest.raises(UserError, match=r"lacks the folders _background_noise_\. Is the archive fully"):
        DownstreamExpert.check(swapped, ["test", "train"])


def test_what_does_not_belong_is_told_once_and_never_silently_left_out(root, tmp_path, capsys):
    for folder in ("corpus", "test_set"):
        for path in (root / folder).iterdir():
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / path.name).symlink_to(path)
    wave = np.zeros(100)
    write(tmp_path / "corpus/lost.wav", wave)
    write(tmp_path / "corpus/more/yes/deep_nohash_0.wav", wave)
    (tmp_path / "corpus/empty").mkdir()
    write(tmp_path / "corpus/wow/nobody.wav", wave)
    write(tmp_path / "test_set/bed/other_nohash_0.wav", wave)
    task = build(tmp_path)
    splits = {split: [item.name for item in task.items(split)] for split in ("train", "dev", "test") * 2}
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    for text in (
        f"2 recordings of {tmp_path}/corpus not in a class folder (the first: {tmp_path}/corpus/lost.wav)",
        f"2 folders of {tmp_path}/corpus without a .wav file (the first: {tmp_path}/corpus/empty)",
        f"1 recording of {tmp_path}/corpus without '_nohash_' in the name (the first: "
        f"{tmp_path}/corpus/wow/nobody.wav)",
        f"1 recording of {tmp_path}/test_set in a folder that is no class",
    ):
        assert any(text in line for line in said), said
    assert (
        "wow-nobody.wav" in splits[split_of("nobody.wav")] and "bed-other_nohash_0.wav" not in splits["test"]
    )


def test_a_config_of_the_public_package_is_taken_as_it_is(root):
    public = {
        "datarc": {
            "speech_commands_root": f"{root}/corpus",
            "speech_commands_test_root": f"{root}/test_set",
            "num_workers": 12,
            "batch_size": 16,
        },
        "modelrc": {
            "projector_dim": 256,
            "select": "UtteranceLevel",
            "UtteranceLevel": {"pooling": "MeanPooling"},
        },
    }
    DownstreamExpert.check(public, ["train", "dev", "test"])
    task = DownstreamExpert(4, downstream_expert=public, expdir="unused")
    assert task.get_dataloader("train").batch_size == 16 and task.reads == "mean"
    assert {name: tuple(value.shape) for name, value in task.state_dict().items() if "weight" in name} == {
        "projector.weight": (256, 4),
        "model.post_net.linear.weight": (12, 256),
    }
    scores = task.classify([torch.ones(3, 4), torch.ones(5, 4)])
    assert scores.shape == (2, 12)


@pytest.mark.parametrize(
    ("change", "splits", "message"),
    [
        ({"silence_crops": 0}, ["train"], "silence_crops must be at least 1, not 0"),
        ({"batchsize": 8}, ["train"], "Did you mean 'batch_size'"),
        ({}, ["tset"], "tset is not one of train, dev, test. Did you mean 'test'"),
    ],
)
def test_a_mistake_in_the_config_is_found_first(root, change, splits, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        DownstreamExpert.check(block(root, **change), splits)


@pytest.mark.parametrize("name", ["config", "mini"])
def test_the_shipped_configs_have_the_settings_of_superb(name):
    config = load_yaml(ROOT / f"downstream/speech_commands/{name}.yaml")
    modelrc = config["downstream_expert"]["modelrc"]
    assert (modelrc["projector_dim"], modelrc["select"]) == (256, "UtteranceLevel")
    assert config["downstream_expert"]["datarc"]["batch_size"] == 32
    assert config["runner"]["eval_dataloaders"] == ["dev", "test"]
    if name == "config":
        assert config["optimizer"]["lr"] == 1e-4 and config["runner"]["total_steps"] == 200000


def test_classes_are_in_the_order_of_published_heads():
    assert list(corpus.CLASSES) == CLASSES
