"""The shapes of the task kit, each as a task folder of a page: data, training, files, several processes."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import metrics, same

import s3prl.downstream
from s3prl.downstream.common.dataset import ItemDataset, LoaderSettings, training_loader
from s3prl.downstream.common.frame import fit_to_labels
from s3prl.downstream.common.items import Crop, Item
from s3prl.downstream.common.task import Task
from s3prl.downstream.common.utterance import UtteranceTask
from s3prl.training import checkpoint as checkpoints
from s3prl.training.plan import Shard, plan_epoch
from s3prl.training.report import MetricLogger
from s3prl.utility import get_best_dev
from s3prl.utility.metric import Metric
from s3prl.utility.recordings import Recording

UTTERANCES = '''
"""Which of three tones a recording is."""

from s3prl.downstream.common.dataset import LoaderSettings
from s3prl.downstream.common.items import Item
from s3prl.downstream.common.utterance import UtteranceTask
from s3prl.utility.recordings import Recording


class DownstreamExpert(UtteranceTask):
    name, balanced, crop = "tones", True, 0.3

    def __init__(self, upstream_dim, downstream_expert, **options):
        self.datarc = downstream_expert["datarc"]
        loading = LoaderSettings(train_batch_size=4, eval_batch_size=3, num_workers=1)
        super().__init__(
            upstream_dim, ["low", "mid", "high"], loading, downstream_expert["modelrc"], **options
        )

    def items(self, split):
        paths = sorted(self.find(self.datarc["root"]).glob(f"{split}/*.wav"))
        return [Item(path.stem, Recording(path), path.stem.split("-")[0]) for path in paths]
'''

FRAMES = '''
"""Which of two tones is heard at every 10 ms."""

import numpy as np

from s3prl.downstream.common.dataset import LoaderSettings
from s3prl.downstream.common.frame import FrameTask
from s3prl.downstream.common.items import Item
from s3prl.utility.recordings import Recording


class DownstreamExpert(FrameTask):
    name = "halves"

    def __init__(self, upstream_dim, upstream_rate, downstream_expert, expdir, runner=None, **kwargs):
        self.root = downstream_expert["datarc"]["root"]
        super().__init__(
            upstream_dim, upstream_rate, 2, LoaderSettings(4, 3, 0), downstream_expert["modelrc"],
            expdir=expdir, runner=runner,
        )

    def items(self, split):
        found = []
        for path in sorted(self.find(self.root).glob(f"{split}/*.wav")):
            labels = np.loadtxt(path.with_suffix(".txt"), dtype=int)
            found.append(Item(path.stem, Recording(path), labels, 160 * len(labels)))
        return found
'''

CONFIG = """
runner: {total_steps: 40, log_step: 10, eval_step: 20, save_step: 20, max_keep: 3, eval_dataloaders: [dev]}
optimizer: {name: TorchOptim, torch_optim_name: Adam, lr: 0.02}
downstream_expert:
  datarc: {root: corpus}
  modelrc: MODELRC
"""


@pytest.fixture
def plug_in(workdir, monkeypatch):
    """Make a task folder, without touching the clone."""
    folder = workdir / "tasks"
    folder.mkdir()
    monkeypatch.setattr(s3prl.downstream, "__path__", [*s3prl.downstream.__path__, str(folder)])

    def write(name, code, modelrc):
        (folder / name).mkdir()
        (folder / name / "expert.py").write_text(code)
        Path(f"{name}.yaml").write_text(CONFIG.replace("MODELRC", modelrc))
        return ["-m", "train", "-u", "fbank_no_cmvn", "-d", name, "-c", f"{name}.yaml"]

    yield write
    for name in [name for name in sys.modules if name.startswith("s3prl.downstream.kit_")]:
        del sys.modules[name]


def write_tone(path, pitches, seconds, rng):
    time = np.arange(int(16000 * seconds)) / 16000
    part = len(time) // len(pitches)
    wave = np.concatenate([0.3 * np.sin(2 * np.pi * pitch * time[:part]) for pitch in pitches])
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave + rng.normal(0, 0.01, len(wave)), 16000)


def tones_of_classes(pause=()):
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("dev", 7), ("test", 5)):
        for index in range(count):
            kind = "low" if index % 2 else ("mid", "high")[index // 2 % 2]
            pitch = {"low": 300, "mid": 900, "high": 2500}[kind]
            write_tone(
                Path(f"corpus/{split}/{kind}-{index}.wav"), [pitch, *pause], rng.uniform(0.35, 0.6), rng
            )


MEAN_POOLING = "{projector_dim: 32, select: UtteranceLevel, UtteranceLevel: {pooling: MeanPooling}}"


def test_an_utterance_task_learns_and_writes_what_it_predicted(plug_in, downstream):
    tones_of_classes()
    train = plug_in("kit_tones", UTTERANCES, MEAN_POOLING)
    assert downstream(*train, "-p", "run") == 0
    last = metrics(Path("run"))[-1]
    assert last["split"] == "dev" and last["acc"] == 1.0
    assert json.loads(Path("run/metric.json").read_text())["name"] == "acc"
    truth, predicted = (Path(f"run/dev_{kind}.txt").read_text() for kind in ("truth", "predict"))
    assert truth == predicted and truth.splitlines()[0] == "high-2 high"
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0
    assert json.loads(Path("run/result.json").read_text())["metrics"]["acc"] == 1.0


def test_random_crops_resume_to_the_bit(plug_in, downstream):
    tones_of_classes()
    train = plug_in("kit_tones", UTTERANCES, MEAN_POOLING)
    assert downstream(*train, "-p", "whole") == 0
    assert downstream(*train, "-a", "-p", "parts", "-o", "config.runner.total_steps=17") == 0
    assert downstream("-m", "train", "-e", "parts", "-o", "config.runner.total_steps=40") == 0
    whole, parts = (checkpoints.load(f"{name}/states-40.ckpt") for name in ("whole", "parts"))
    assert same(whole["Downstream"], parts["Downstream"])


def test_classes_come_equally_often_when_asked():
    items = [Item(str(index), Recording("x"), "rare" if index == 0 else "usual") for index in range(40)]
    dataset = ItemDataset(items, lambda item: item.label)
    loader = training_loader(dataset, LoaderSettings(8), balance=lambda item: item.label)
    drawn = [
        index
        for epoch in range(5)
        for batch in plan_epoch(loader, 1, epoch, Shard())
        for index in batch[0][0]
    ]
    assert 0.35 < drawn.count(0) / len(drawn) < 0.65
    plain = training_loader(dataset, LoaderSettings(8))
    assert sorted(index for batch in plan_epoch(plain, 1, 0, Shard()) for index in batch[0][0]) == list(
        range(40)
    )


def test_a_smaller_last_batch_is_left_out_when_asked():
    items = [Item(str(index), Recording("x"), "any") for index in range(10)]
    dataset = ItemDataset(items, lambda item: item.label)
    for balance in (None, lambda item: item.label):
        for drop_last, sizes in ((False, [4, 4, 2]), (True, [4, 4])):
            plan = plan_epoch(training_loader(dataset, LoaderSettings(4), balance, drop_last), 1, 0, Shard())
            assert [len(indices) for ((indices, _),) in plan] == sizes


def test_choices_are_what_an_item_can_be_heard_as():
    cropped = Item("b", Recording("b"), "any", crop=Crop(1.0, 3))
    items = [Item("a", Recording("a"), "any"), cropped]
    dataset = ItemDataset(items, lambda item: item.label)
    assert dataset.choices(0) == [Recording("a")] and dataset[0][0] == Recording("a")
    assert dataset.choices(1) == Recording("b").crops(1.0, 3) and dataset[1][0] in dataset.choices(1)
    everywhere = ItemDataset(items, lambda item: item.label, crop=2.0)
    assert everywhere.choices(0) is None and everywhere[0][0].drawn
    assert everywhere.choices(1) == dataset.choices(1)


class PeakTask(UtteranceTask):
    """Has a way of its own from features to scores."""

    name = "peak"

    def classify(self, features):
        return self.model.post_net(self.projector(torch.stack([one.amax(0) for one in features])))[0]


@pytest.mark.parametrize(
    ("kind", "head", "reads"),
    [
        (UtteranceTask, {}, "mean"),
        (UtteranceTask, {"pooling": "MeanPooling", "pre_net": {"select": "FrameLevel"}}, "mean"),
        (UtteranceTask, {"post_net": {"select": "FrameLevel", "FrameLevel": {"hiddens": [5]}}}, "mean"),
        (
            UtteranceTask,
            {"pre_net": {"select": "FrameLevel", "FrameLevel": {"hiddens": [5]}}},
            "frames",
        ),
        (UtteranceTask, {"pooling": "AttentivePooling"}, "frames"),
        (PeakTask, {}, "frames"),
    ],
)
def test_a_head_that_reads_only_the_mean_says_so_and_gives_the_same_for_it(tmp_path, kind, head, reads):
    torch.manual_seed(0)
    modelrc = {"projector_dim": 6, "select": "UtteranceLevel", "UtteranceLevel": head}
    task = kind(3, ["a", "b"], LoaderSettings(4), modelrc, expdir=str(tmp_path))
    assert task.reads == reads
    features = [torch.randn(frames, 3) for frames in (4, 9)]
    of_frames, of_means = task.classify(features), task.classify([one.mean(0)[None] for one in features])
    assert torch.allclose(of_frames, of_means, atol=1e-6) == (reads == "mean")


def test_a_frame_task_learns_where_one_tone_ends(plug_in, downstream):
    rng = np.random.default_rng(1)
    for split, count in (("train", 8), ("dev", 4)):
        for index in range(count):
            seconds = 0.4 + 0.02 * index
            path = Path(f"corpus/{split}/{index}.wav")
            write_tone(path, [300, 2000], seconds, rng)
            frames = int(seconds * 100)
            np.savetxt(path.with_suffix(".txt"), np.arange(frames) >= frames / 2, fmt="%d")
    train = plug_in("kit_frames", FRAMES, "{select: FrameLevel}")
    assert downstream(*train, "-p", "run") == 0
    assert metrics(Path("run"))[-1]["acc"] > 0.9
    name, accuracy = Path("run/dev_acc.txt").read_text().split("\n")[0].split()
    assert name == "0" and float(accuracy) > 0.8


def test_features_are_fitted_to_labels_of_another_rate():
    feature = torch.arange(3.0)[:, None]
    assert fit_to_labels([feature], [5], repeats=2)[0, :, 0].tolist() == [0, 0, 1, 1, 2]
    assert fit_to_labels([feature], [5], repeats=1)[0, :, 0].tolist() == [0, 1, 2, 2, 2]
    assert fit_to_labels([feature], [2], repeats=1)[0, :, 0].tolist() == [0, 1]
    together = fit_to_labels([feature, feature + 3], [2, 4], repeats=1)
    assert together[..., 0].tolist() == [[0, 1, 0, 0], [3, 4, 5, 5]]


def test_an_unknown_option_of_a_head_is_named(plug_in, downstream, capsys):
    tones_of_classes()
    wrong = "{projector_dim: 32, select: UtteranceLevel, UtteranceLevel: {poolin: MeanPooling}}"
    assert downstream(*plug_in("kit_tones", UTTERANCES, wrong), "-p", "run") == 2
    assert "no field 'poolin'. Did you mean 'pooling'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("modelrc", "message"),
    [
        ("{select: UtteranceLevel}", "downstream_expert.modelrc needs the field 'projector_dim'"),
        ("{projectr_dim: 8, projector_dim: 8, select: UtteranceLevel}", "Did you mean 'projector_dim'"),
        ("{projector_dim: 8, select: UtterLevel}", "select: UtterLevel is not one of"),
        ("[8, UtteranceLevel]", "downstream_expert.modelrc must be a section"),
        (
            "{projector_dim: 8, select: UtteranceLevel, UtteranceLevel: "
            "{pooling: AttentivePooling, activation: Relu}}",
            "activation: Relu is not one of",
        ),
    ],
)
def test_a_mistake_in_the_block_of_the_head_is_one_message(plug_in, downstream, capsys, modelrc, message):
    tones_of_classes()
    assert downstream(*plug_in("kit_tones", UTTERANCES, modelrc), "-p", "run") == 2
    assert message in capsys.readouterr().err


def test_a_label_that_is_no_class_is_named_with_its_recording(plug_in, downstream, capsys):
    tones_of_classes()
    Path("corpus/train/low-1.wav").rename("corpus/train/lwo-1.wav")
    assert downstream(*plug_in("kit_tones", UTTERANCES, MEAN_POOLING), "-p", "run") == 2
    error = capsys.readouterr().err
    assert "'lwo' (1 x, first lwo-1). Did you mean 'low'" in error and "lwo-1.wav" in error


class ThirdsTask(Task):
    """Reports a score that float32 cannot hold exactly."""

    name, metric = "thirds", Metric("wer", lower_is_better=True)

    def scores(self, split, records):
        return {"wer": records["score"][0]}


def test_a_new_best_must_be_better_not_only_rounded_otherwise(tmp_path):
    task, logger = ThirdsTask(LoaderSettings(1), str(tmp_path)), MetricLogger()

    def saved(score, split="dev"):
        return task.log_records(split, {"score": [score], "loss": [1.0], "utterances": [1]}, logger, 1)

    for score in (100 / 3, 20 / 3, 700 / 133):
        assert saved(score) == ["dev-best.ckpt"]
        assert saved(score) == []
    assert saved(1.0, split="test") == saved(1.0, split="train") == []


def test_the_deciding_split_is_one_that_training_evaluates(tmp_path):
    runner = {"eval_dataloaders": ["test", "valid-small"]}
    assert ThirdsTask(LoaderSettings(1), str(tmp_path), runner).metric.split == "valid-small"
    assert ThirdsTask(LoaderSettings(1), str(tmp_path), {}).metric.split == "dev"


def test_log_log_has_what_get_best_dev_reads(plug_in, downstream, capsys):
    tones_of_classes()
    train = plug_in("kit_tones", UTTERANCES, MEAN_POOLING)
    assert downstream(*train, "-p", "run", "-o", "config.runner.eval_dataloaders=['dev', 'test']") == 0
    lines = Path("run/log.log").read_text().splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == [
        "train at step 10", "train at step 20", "dev at step 20", "New best on dev at step 20",
    ]  # fmt: skip
    rows = metrics(Path("run"))
    for row in rows:
        assert f"{row['split']} at step {row['step']}: {row['acc']}" in lines
    best = max(row["acc"] for row in rows if row["split"] == "dev")
    capsys.readouterr()
    assert get_best_dev.main(["run/log.log"]) == 0
    assert f"The best dev score {best} at step" in capsys.readouterr().out
    before = Path("run/log.log").read_text()
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0
    assert Path("run/log.log").read_text() == before


def test_confusion_matrices_are_shown_in_tensorboard(plug_in, downstream, monkeypatch):
    shown = []
    monkeypatch.setattr(
        MetricLogger, "add_image", lambda self, *args, **kw: shown.append(args), raising=False
    )
    tones_of_classes()
    assert downstream(*plug_in("kit_tones", UTTERANCES, MEAN_POOLING), "-p", "run") == 0
    assert [(tag, image.shape[2], step) for tag, image, step in shown] == [
        ("tones/dev-confusion", 3, 20), ("tones/dev-confusion", 3, 40),
    ]  # fmt: skip


def test_a_head_that_hears_means_warns_of_normalised_utterances_and_can_have_another_form(
    plug_in, downstream, capsys
):
    tones_of_classes(pause=[0])
    train = plug_in("kit_tones", UTTERANCES, MEAN_POOLING)
    train[train.index("fbank_no_cmvn")] = "fbank"
    longer = "config.optimizer.lr=1e-2"
    assert downstream(*train, "-p", "deaf", "-o", longer) == 0
    assert "[tones] The upstream subtracts the mean of every utterance" in capsys.readouterr().err
    nonlinear = "{'pre_net': {'select': 'FrameLevel', 'FrameLevel': {'hiddens': [32]}}}"
    other = "+config.downstream_expert.modelrc.UtteranceLevel.after_cmvn"
    assert downstream(*train, "-p", "hears", "-o", f"{longer},,{other}={nonlinear}") == 0
    assert "subtracts the mean" not in capsys.readouterr().err
    deaf, hears = (
        {line.split()[1] for line in Path(run, "dev_predict.txt").read_text().splitlines()}
        for run in ("deaf", "hears")
    )
    assert len(deaf) == 1 < len(hears)


def test_unreadable_files_are_refused_before_training(plug_in, downstream, capsys):
    tones_of_classes()
    train = plug_in("kit_tones", UTTERANCES, MEAN_POOLING)
    Path("corpus/dev/low-1.wav").write_bytes(b"no audio")
    assert downstream(*train, "-p", "run") == 2
    error = capsys.readouterr().err
    assert "1 of 7 audio files of the split 'dev' cannot be used" in error and "low-1.wav" in error
    assert "--bad_audio skip" in error and not Path("run/metrics.jsonl").exists()
    assert downstream(*train, "-p", "run", "--bad_audio", "skip") == 0
    assert "low-1.wav" in Path("run/bad_audio.tsv").read_text()


def test_a_classifier_is_applied_to_recordings(plug_in, downstream, capsys):
    tones_of_classes()
    assert downstream(*plug_in("kit_tones", UTTERANCES, MEAN_POOLING), "-p", "run") == 0
    capsys.readouterr()
    assert downstream("-m", "inference", "-t", "corpus/test", "-e", "run/dev-best.ckpt") == 0
    names = sorted(path.stem for path in Path("corpus/test").glob("*.wav"))
    expected = [f"{name} {name.partition('-')[0]}" for name in names]
    assert Path("run/inference.ark").read_text().splitlines() == expected
    assert set(expected) <= set(capsys.readouterr().out.splitlines())


INFERRED = UTTERANCES.replace('["low", "mid", "high"]', "None")


def test_labels_of_the_training_data_are_kept_beside_the_checkpoint(plug_in, downstream, capsys):
    tones_of_classes()
    train = plug_in("kit_tones", INFERRED, MEAN_POOLING)
    assert downstream(*train, "-p", "run") == 0
    assert Path("run/labels.txt").read_text() == "high\nlow\nmid\n"
    shutil.rmtree("corpus/train")
    capsys.readouterr()
    for other in ((), ("-p", "elsewhere")):
        assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt", *other) == 0
        assert "acc 1" in capsys.readouterr().out
    Path("run/labels.txt").unlink()
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 2
    assert "labels.txt, which its training has written beside it, is missing" in capsys.readouterr().err


def test_a_split_is_read_once_also_where_the_classes_come_from_it(plug_in, downstream, monkeypatch):
    tones_of_classes()
    code = INFERRED.replace(
        "    def items(self, split):\n", "    def items(self, split):\n        print(f'reads {split}')\n"
    )
    train = plug_in("kit_tones", code, MEAN_POOLING)
    said = []
    monkeypatch.setattr("builtins.print", lambda *texts, **options: said.extend(map(str, texts)))
    assert downstream(*train, "-p", "run") == 0
    assert sorted(text for text in said if text.startswith("reads ")) == ["reads dev", "reads train"]


def test_labels_that_are_numbers_are_sorted_by_their_size(tmp_path):
    task = UtteranceTask.__new__(UtteranceTask)
    torch.nn.Module.__init__(task)
    task.train_split = "train"
    task.read = lambda split: [Item(name, Recording("x"), name) for name in ("10", "9", "b", "a", "1")]
    assert task.training_labels() == ["1", "9", "10", "a", "b"]
