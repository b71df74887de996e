"""Pictures of recordings: what is drawn, and where on the axis of time."""

import re

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT

from s3prl.upstream import visualize
from s3prl.upstream.tools import hidden
from s3prl.upstream.tools.hidden import Insight, log_mel
from s3prl.upstream.visualize import figure, shown, similarity

MOCKINGJAY = ("-u", "mockingjay_local", "-k", ROOT / "tests/data/mockingjay/ckpt.ckpt")
SECOND = 16000


@pytest.fixture
def recordings(tmp_path):
    """Two recordings in nested folders, of 0.5 and 0.8 seconds."""
    generator = np.random.default_rng(0)
    for name, seconds in (("a", 0.5), ("deep/b", 0.8)):
        path = tmp_path / f"wavs/{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * generator.standard_normal(round(seconds * SECOND)), SECOND)
    return tmp_path / "wavs"


@pytest.fixture
def drawn(monkeypatch):
    """What `figure` is given for every recording."""
    calls, original = {}, visualize.figure

    def keep(title, *arguments):
        calls[title] = arguments
        return original(title, *arguments)

    monkeypatch.setattr(visualize, "figure", keep)
    return calls


def run(*arguments):
    return visualize.main([*map(str, arguments), "--device", "cpu"])


def images(picture):
    return [panel.images[0] for panel in picture.axes if panel.images and panel.get_ylabel() != "cosine"]


def test_every_recording_gets_a_picture_of_the_layers_asked_for(recordings, tmp_path, drawn):
    assert run(*MOCKINGJAY, "--input", recordings, "--output", tmp_path / "out", "-l", "3,-4") == 0
    for name, seconds in (("a", 0.5), ("deep/b", 0.8)):
        assert (tmp_path / f"out/{name}.png").stat().st_size > 10_000
        spectrogram, states, layers, stride, similar = drawn[name]
        wav = torch.from_numpy(soundfile.read(recordings / f"{name}.wav", dtype="float32")[0])
        assert torch.equal(spectrogram, log_mel(wav.numpy()))
        assert (layers, stride, similar) == ([3, -4], 160, False)
        assert states.shape[:2] == (2, 1 + round(100 * seconds))


def test_without_layers_the_first_the_middle_and_the_last_are_shown(recordings, tmp_path, drawn):
    assert run(*MOCKINGJAY, "--input", recordings / "a.wav", "--output", tmp_path, "--seconds", 0.25) == 0
    spectrogram, states, layers, _, _ = drawn["a"]
    assert layers == [0, 2, 3] and len(states) == 3
    assert len(spectrogram) == 26, "the first quarter of a second"
    every = torch.arange(13.0)[:, None, None]
    assert shown(Insight(None, 320, None), every)[0] == [0, 6, 12]
    assert shown(Insight(None, 320, None), every[:1])[0] == [0]


def test_hidden_states_lie_below_the_spectrogram_at_the_same_times():
    spectrogram, states = torch.randn(100, 80), torch.randn(2, 49, 6)
    picture = figure("speech", spectrogram, states, [4, 9], 320)
    top, *layers = images(picture)
    assert tuple(top.get_extent()) == (0.0, 1.0, 0.0, 80.0)
    assert np.allclose(top.get_array(), 10 / np.log(10) * spectrogram.T.numpy(), rtol=1e-5)
    for image, values in zip(layers, states, strict=True):
        assert image.get_extent() == pytest.approx((0.0, 49 * 0.02, 0.0, 6.0)), "seconds, by the stride"
        assert np.array_equal(image.get_array(), values.T.numpy())
    labels = [panel.get_ylabel() for panel in picture.axes if "layer" in panel.get_ylabel()]
    assert labels == ["layer 4\ndimension", "layer 9\ndimension"]
    assert {image.axes.get_xlim() for image in (top, *layers)} == {(0.0, 1.0)}, "one axis of time"


def test_self_similarity_is_the_cosine_of_every_two_frames():
    states = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    expected = torch.tensor([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    assert torch.equal(similarity(states), expected)
    picture = figure("speech", torch.randn(8, 80), states[None], [0], 320, similar=True)
    *_, image = images(picture)
    assert np.array_equal(image.get_array(), expected.numpy())
    assert image.get_extent() == pytest.approx([0.0, 0.08, 0.0, 0.08])


def test_a_recording_that_cannot_be_read_stops_no_other(recordings, tmp_path, capsys):
    (recordings / "broken.wav").write_bytes(b"no audio")
    soundfile.write(recordings / "tiny.wav", np.ones(100), SECOND)
    assert run(*MOCKINGJAY, "--input", recordings, "--output", tmp_path / "out") == 1
    said = capsys.readouterr()
    assert "2 picture(s)" in said.out and "2 failed" in said.out
    assert "broken.wav is not audio" in said.err
    assert re.search("failed: .*tiny.wav: .*100 samples", said.err)
    assert (tmp_path / "out/deep/b.png").is_file() and not (tmp_path / "out/broken.png").exists()


def test_a_recording_too_short_for_the_spectrogram_alone_stops_no_other(tmp_path, monkeypatch, capsys):
    seen = Insight(lambda wav: torch.ones(1, 1, 4), SECOND, None)  # such as a frame for every recording
    monkeypatch.setattr(visualize, "insight", lambda options: seen)
    for name, samples in (("a", 100), ("b$x^$", 4000)):
        soundfile.write(tmp_path / f"{name}.wav", np.ones(samples), SECOND)
    assert run("-u", "any", "--input", tmp_path, "--output", tmp_path / "out") == 1
    assert "a.wav: " in capsys.readouterr().err
    assert (tmp_path / "out/b$x^$.png").is_file(), "a name that is no formula"


def test_too_long_a_recording_is_told_and_the_next_one_is_tried(recordings, tmp_path, monkeypatch, capsys):
    def out_of_memory(encoder, layers, key):
        def extract(wavs):
            if len(wavs[0]) > 0.6 * SECOND:
                raise torch.OutOfMemoryError("out of memory")
            return [torch.ones(1, 50, 4)]

        return extract

    monkeypatch.setattr(hidden, "layers_of", out_of_memory)
    assert run(*MOCKINGJAY, "--input", recordings, "--output", tmp_path / "out") == 1
    assert "deep/b.wav: 0.8 s are too long for the memory of cpu" in capsys.readouterr().err
    assert (tmp_path / "out/a.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-l", "7"], "-l 7: the upstream has 4 layers, 0 to 3"),
        (["-l", "x"], "-l x: write numbers"),
        (["--similarity", "--seconds", 3600], "--seconds may be 100 at most"),
        (["--seconds", 0], "--seconds must be positive"),
        (["--seconds", "nan"], "--seconds must be positive"),
        (["--seconds", "inf"], "--seconds must be positive and finite"),
    ],
)
def test_mistakes_are_told_before_anything_is_drawn(recordings, tmp_path, capsys, options, message):
    assert run(*MOCKINGJAY, "--input", recordings, "--output", tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
