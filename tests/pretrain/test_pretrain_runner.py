"""The runner of pre-training with a toy method: data, checkpoints, exact resume, bad input."""

import struct
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, metrics, same
from pretraining import arguments, assert_resume_is_exact, config, losses, recordings, resume, states, train
from tensorboardX.proto.event_pb2 import Event
from torch import nn

from s3prl.pretrain.common.data import DataRc, training_loader
from s3prl.pretrain.common.expert import PretrainExpert
from s3prl.pretrain.common.front import Front, shortest_for
from s3prl.pretrain.common.pictures import image
from s3prl.pretrain.runner import Runner
from s3prl.utility.audio import AudioError
from s3prl.utility.bad_audio import BadAudioList
from s3prl.utility.errors import UserError
from s3prl.utility.recordings import BadAudio

FBANK = {
    "kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bins": 8}},
    "delta": {"order": 0},
    "cmvn": {"use_cmvn": True},
}


class Toy(PretrainExpert):
    """Predict the next frame, with noise on the input."""

    def __init__(self, datarc, upstream_config, device="cpu", multi_gpu=False, **kwargs):
        super().__init__(datarc, upstream_config, device, multi_gpu)
        self.front = Front(FBANK, "config.upstream_config")
        self.model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.1), nn.Linear(16, 8))

    def get_train_dataloader(self):
        return training_loader(self.datarc, crop=12800, shortest=shortest_for(self.front, 3))

    def encode(self, batch):
        return self.front(super().encode(batch))

    def forward(self, data, records, **kwargs):
        features, _ = data
        noisy = features[:, :-1] + 0.01 * torch.randn_like(features[:, :-1])
        predicted = self.model(noisy)
        loss = (predicted - features[:, 1:]).abs().mean()
        records["distance"].append(loss.detach())
        self.pictures = {"true_spec": features[0].clone(), "pred_spec": predicted[0].detach().clone()}
        return loss, records


def data_of(root, tables, **fields):
    return DataRc(train_batch_size=4, libri_root=str(root), file_path=str(tables), num_workers=0, **fields)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    package = ModuleType("s3prl.pretrain.toy")
    package.__path__ = []
    module = ModuleType("s3prl.pretrain.toy.pretrain_expert")
    module.UpstreamPretrainExpert = Toy
    monkeypatch.setitem(sys.modules, "s3prl.pretrain.toy", package)
    monkeypatch.setitem(sys.modules, "s3prl.pretrain.toy.pretrain_expert", module)


def test_a_method_learns_and_its_checkpoint_says_what_it_was(tmp_path):
    root = recordings(tmp_path / "audio")
    train("toy", tmp_path / "run", config(root, {"size": 16}, total_steps=100, log_step=20, save_step=100))
    found = losses(tmp_path / "run")
    assert found[-1] < 0.8 * found[0]
    state = states(tmp_path / "run", 100)
    assert state["Upstream_Config"] == {"size": 16}
    assert state["Config"]["optimizer"] == {"name": "Adam", "lr": 1e-3}
    assert set(state["model"]) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert metrics(tmp_path / "run")[-1]["distance"] == pytest.approx(found[-1], rel=1e-4)
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


def test_a_run_that_was_interrupted_ends_with_the_same_weights(tmp_path):
    assert_resume_is_exact("toy", tmp_path, config(recordings(tmp_path / "audio"), {}), ("model",))


def events(folder):
    """What TensorBoard is shown: (step, summary value) in their order."""
    (path,) = folder.glob("events.out.tfevents.*")
    content, place = path.read_bytes(), 0
    while place < len(content):  # length, its checksum, the event, its checksum
        (size,) = struct.unpack_from("<Q", content, place)
        event = Event.FromString(content[place + 12 : place + 12 + size])
        place += size + 16
        yield from ((event.step, value) for value in event.summary.value)


def test_pictures_reach_tensorboard(tmp_path):
    train("toy", tmp_path / "run", config(recordings(tmp_path / "audio"), {}, total_steps=4))
    found = list(events(tmp_path / "run"))
    pictures = [(step, value.tag) for step, value in found if value.HasField("image")]
    tags = ["toy/train-pred_spec", "toy/train-true_spec"]
    assert sorted(pictures) == [(step, tag) for step in (2, 4) for tag in tags]
    assert {value.image.height for _, value in found if value.HasField("image")} == {8}
    assert "toy/train-distance" in {value.tag for _, value in found}


def test_a_picture_has_time_from_left_to_right_and_low_frequencies_at_the_bottom():
    spectrogram = torch.zeros(6, 4)  # [frames, dim]
    spectrogram[5, 0] = 1.0
    brightness = image(spectrogram).astype(int).sum(0)
    assert brightness.shape == (4, 6)
    assert np.unravel_index(brightness.argmax(), brightness.shape) == (3, 5)


def test_epochs_decide_how_long_to_train_where_they_are_given(tmp_path):
    whole = config(recordings(tmp_path / "audio"), {}, n_epochs=2, total_steps=1000)
    train("toy", tmp_path / "run", whole)
    assert states(tmp_path / "run", 6)["Epoch"] == 2  # 10 recordings, 4 in a batch


def test_minus_one_epochs_leave_it_to_total_steps(tmp_path):
    train("toy", tmp_path / "run", config(recordings(tmp_path / "audio"), {}, n_epochs=-1, total_steps=2))
    assert states(tmp_path / "run", 2)["Step"] == 2


def test_a_length_of_training_is_needed(tmp_path):
    whole = config(recordings(tmp_path / "audio"), {}, n_epochs=-1)
    del whole["runner"]["total_steps"]
    with pytest.raises(UserError, match="total_steps or n_epochs"):
        Runner(arguments("toy", tmp_path / "run"), whole)


def test_weights_of_another_method_are_refused_by_name(tmp_path):
    whole = config(recordings(tmp_path / "audio"), {})
    with pytest.raises(UserError, match="no weights 'model'"):
        Runner(arguments("toy", tmp_path / "run"), whole, {"Transformer": {}})


def test_training_can_start_from_the_weights_of_another_run(tmp_path):
    root = recordings(tmp_path / "audio")
    first = train("toy", tmp_path / "first", config(root, {}))
    state = states(tmp_path / "first", 6)
    second = Runner(arguments("toy", tmp_path / "second"), config(root, {}), state)
    assert same(first.expert.state_dict(), second.expert.state_dict())
    second.train()
    assert states(tmp_path / "second", 6)["Step"] == 6


def test_an_unreadable_recording_stops_a_run_or_is_listed(tmp_path):
    root = recordings(tmp_path / "audio")
    whole = config(root, {}, data={"file_path": str(tmp_path / "tables")})
    train("toy", tmp_path / "first", whole)  # which makes the table
    (root / "train" / "3.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError, match=r"3\.wav"):
        train("toy", tmp_path / "second", whole)
    train("toy", tmp_path / "third", whole, bad_audio="skip")
    assert "train/3.wav" in (tmp_path / "third" / "bad_audio.tsv").read_text()


def test_any_folder_of_audio_will_do(tmp_path):
    root = recordings(tmp_path / "my audio")
    data = data_of(root, tmp_path / "lengths")
    loader = training_loader(data, crop=0)
    assert len(loader.dataset) == 10
    assert (tmp_path / "lengths" / "my audio.csv").is_file()


def test_a_table_may_list_a_part_of_the_corpus(tmp_path):
    root = recordings(tmp_path / "audio")
    data = data_of(root, tmp_path / "lengths", sets=["train"])
    everything = training_loader(data, crop=0)
    table = tmp_path / "lengths" / "train.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:5]) + "\n")
    assert len(training_loader(data, crop=0).dataset) == 4 < len(everything.dataset)


def test_a_table_of_another_corpus_is_told(tmp_path):
    root = recordings(tmp_path / "audio")
    data = data_of(root, tmp_path / "lengths", sets=["train"])
    training_loader(data, crop=0)
    recordings(tmp_path / "audio", seed=5)
    with pytest.raises(UserError, match=r"train\.csv does not fit .* Remove the table"):
        training_loader(data, crop=0)


def test_a_table_that_is_of_no_use_is_told_before_training(tmp_path):
    root = recordings(tmp_path / "audio")
    training_loader(data_of(root, tmp_path, sets=["train"]), crop=0)
    without_root = DataRc(train_batch_size=4, file_path=str(tmp_path), num_workers=0)
    with pytest.raises(UserError, match=r"train\.csv lists features such as .*libri_root"):
        training_loader(without_root, crop=0)
    table = tmp_path / "train.csv"
    table.write_text(",file_path,length,label\n")
    with pytest.raises(UserError, match=r"train\.csv lists no recording"):
        training_loader(data_of(root, tmp_path, sets=["train"]), crop=0)
    table.write_bytes(b"\xba" * 300)
    with pytest.raises(UserError, match=r"train\.csv is not a table of lengths") as told:
        training_loader(data_of(root, tmp_path, sets=["train"]), crop=0)
    assert len(str(told.value)) < 400  # not all of the bytes


def test_lengths_are_limited_in_frames(tmp_path):
    root = recordings(tmp_path / "audio")
    shorter = training_loader(data_of(root, tmp_path, max_timestep=100), crop=0).dataset
    longer = training_loader(data_of(root, tmp_path, max_timestep=-100), crop=0).dataset
    assert max(shorter.lengths) < 16000 < min(longer.lengths)
    assert shorter.dropped == len(longer) and len(shorter) + len(longer) == 10
    with pytest.raises(UserError, match="None of the 10 utterances"):
        training_loader(data_of(root, tmp_path, max_timestep=2), crop=0)


def test_features_made_ready_are_cut_to_frames(tmp_path):
    (tmp_path / "train").mkdir()
    rows = [",file_path,length,label"]
    for number, frames in enumerate((50, 30, 10)):
        np.save(tmp_path / "train" / f"{number}.npy", np.full((frames, 4), number, dtype=np.float32))
        rows.append(f"{number},train/{number}.npy,{frames},")
    (tmp_path / "train.csv").write_text("\n".join(rows) + "\n")
    data = DataRc(train_batch_size=3, file_path=str(tmp_path), num_workers=0)
    dataset = training_loader(data, crop=20 * 160).dataset
    read = [dataset.read(dataset[number][0]) for number in range(3)]
    assert [each.shape for each in read] == [(20, 4), (20, 4), (10, 4)]
    (tmp_path / "train" / "1.npy").write_bytes(b"nothing")
    with pytest.raises(AudioError, match=r"1\.npy cannot be read as features"):
        dataset.read(dataset[1][0])


def test_a_resumed_run_keeps_its_config_and_takes_more_steps_where_told(tmp_path):
    train("toy", tmp_path / "run", config(recordings(tmp_path / "audio"), {}))
    resume("toy", tmp_path / "more", tmp_path / "run" / "states-4.ckpt", total_steps=8)
    assert states(tmp_path / "more", 8)["Config"]["runner"]["total_steps"] == 8


def test_the_method_that_the_guide_shows_trains_as_it_stands(tmp_path):
    guide = (ROOT / "pretrain" / "README.md").read_text().split("## A method of your own")[1]
    code, model = (guide.split(f"```{kind}\n")[1].split("```")[0] for kind in ("python", "yaml"))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "pretrain_expert.py").write_text(code)
    whole = config(recordings(tmp_path / "audio"), yaml.safe_load(model), total_steps=20)
    train(str(mine), tmp_path / "run", whole)
    found = losses(tmp_path / "run")
    assert found[-1] < found[0]
    assert metrics(tmp_path / "run")[-1]["distance"] == pytest.approx(found[-1], rel=1e-4)


def test_recordings_of_one_name_in_several_folders_are_all_listed(tmp_path):
    def notes(*folders):
        return [BadAudio("0", f"{folder}/0.wav", "damaged") for folder in folders]

    BadAudioList(tmp_path).add(notes("a", "b", "a"))
    BadAudioList(tmp_path).add(notes("b", "c"))  # as another process, or the run resumed
    lines = (tmp_path / "bad_audio.tsv").read_text().splitlines()
    assert [line.split("\t")[1] for line in lines] == ["path", "a/0.wav", "b/0.wav", "c/0.wav"]


def test_a_missing_corpus_is_told_with_where_to_get_it_and_its_miniature(tmp_path):
    with pytest.raises(
        UserError, match=r"no folder .*nowhere.*openslr\.org/12.*librispeech --output.*mini_runner"
    ):
        training_loader(data_of(tmp_path / "nowhere", tmp_path), crop=0)
