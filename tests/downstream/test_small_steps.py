"""What an update costs beside arithmetic does not grow with the batch: autograd from mixing to loss."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from s3prl.downstream.common.dataset import LoaderSettings
from s3prl.downstream.common.frame import FrameTask
from s3prl.downstream.common.heads import MeanPooling, folded
from s3prl.downstream.common.items import Item
from s3prl.downstream.common.recognition import RecognitionSettings, RecognitionTask
from s3prl.downstream.common.utterance import UtteranceTask
from s3prl.upstream.interfaces import Featurizer, Layers, UpstreamBase
from s3prl.utility.recordings import Recording

DIM, LAYERS, STRIDE = 6, 3, 160


class Layered(UpstreamBase):
    """Three layers of six dimensions."""

    def get_downsample_rates(self, key):
        return STRIDE

    def forward(self, wavs):
        frames = max(len(wav) for wav in wavs) // STRIDE
        return {"hidden_states": [torch.ones(len(wavs), frames, DIM)] * LAYERS}


class Utterances(UtteranceTask):
    name = "utterances"


class Frames(FrameTask):
    name = "frames"


class Sequences(RecognitionTask):
    name = "sequences"


def utterance_task(folder, pooling="MeanPooling"):
    modelrc = {"projector_dim": 5, "select": "UtteranceLevel", "UtteranceLevel": {"pooling": pooling}}
    return Utterances(DIM, ["a", "b"], LoaderSettings(4), modelrc, expdir=folder), lambda count, frames: 0


def attentive_task(folder):
    return utterance_task(folder, "AttentivePooling")


def frame_task(folder):
    task = Frames(DIM, STRIDE, 2, LoaderSettings(4), {"select": "FrameLevel"}, expdir=folder)
    return task, lambda count, frames: np.zeros(frames + 1, dtype=np.int64)


def sequence_task(folder):
    dictionary = folder / "characters.txt"
    dictionary.write_text("| 1\nA 1\n")
    rnns = {"module": "LSTM", "bidirection": True, "dim": [4], "dropout": [0.0], "layer_norm": [False]}
    rnns |= {"proj": [False], "sample_rate": [1], "sample_style": "concat", "total_rate": -1}
    modelrc = {"project_dim": 5, "select": "RNNs", "RNNs": rnns}
    task = Sequences(DIM, STRIDE, RecognitionSettings(4, dict_path=str(dictionary)), modelrc, expdir=folder)
    return task, lambda count, frames: np.full(1, 5)


TASKS = {
    "utterance": utterance_task,
    "attentive": attentive_task,
    "frame": frame_task,
    "sequence": sequence_task,
}
LENGTHS = {
    "mixed": lambda batch: [9 - index % 3 for index in range(batch)],
    "one frame": lambda batch: [1] * batch,
}


def loss_of(task, target, frames):
    torch.manual_seed(1)
    featurizer = Featurizer(Layered())
    layers = Layers(torch.randn(LAYERS, len(frames), max(frames), DIM), frames)
    targets = [target(index, count) for index, count in enumerate(frames)]
    items = [Item(str(index), Recording("x"), "A") for index in range(len(frames))]
    return task("train", featurizer.mix(layers), targets, items, defaultdict(list)), featurizer


def nodes(loss):
    seen, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [previous for previous, _ in node.next_functions]
    return len(seen)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kind", TASKS)
def test_a_larger_batch_has_no_more_nodes_of_autograd(kind, lengths, tmp_path):
    task, target = TASKS[kind](tmp_path)
    few, many = (nodes(loss_of(task, target, LENGTHS[lengths](batch))[0]) for batch in (4, 32))
    assert few == many


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kind", TASKS)
def test_loss_and_gradients_are_those_of_slices_and_pad_sequence(kind, lengths, tmp_path, monkeypatch):
    torch.manual_seed(0)
    task, target = TASKS[kind](tmp_path)

    def run():
        loss, featurizer = loss_of(task, target, LENGTHS[lengths](5))
        gradients = torch.autograd.grad(loss, [featurizer.weights, *task.parameters()])
        return loss.detach(), gradients

    loss, gradients = run()
    slices = lambda batch, frames: [one[:count] for one, count in zip(batch, frames, strict=True)]  # noqa: E731
    monkeypatch.setattr("s3prl.upstream.interfaces.unpadded", slices)
    for module in ("utterance", "sequence"):
        monkeypatch.setattr(
            f"s3prl.downstream.common.{module}.padded", lambda features: pad_sequence(features, True)
        )
    expected, others = run()
    assert torch.equal(loss, expected)
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 7])
def test_a_mean_over_frames_without_padding_is_that_with_a_mask(frames):
    features = torch.randn(4, frames, DIM)
    pooled, ones = MeanPooling()(features, [frames] * 4)
    masked, same_ones = MeanPooling()(features, torch.full((4,), frames))
    assert torch.equal(pooled, masked) and torch.equal(ones, same_ones)


@pytest.mark.parametrize("pre_net", [None, {"select": "FrameLevel"}])
def test_means_of_a_batch_give_the_loss_and_gradients_of_its_frames(tmp_path, pre_net):
    head = {"pooling": "MeanPooling", **({"pre_net": pre_net} if pre_net else {})}
    modelrc = {"projector_dim": 5, "select": "UtteranceLevel", "UtteranceLevel": head}
    task = Utterances(DIM, ["a", "b"], LoaderSettings(4), modelrc, expdir=tmp_path)
    assert task.reads == "mean"
    features = [torch.randn(frames, DIM) for frames in (3, 7, 1, 2)]
    targets, items = [0, 1, 1, 0], [Item("u", Recording("u.wav"), "a")] * 4
    found = []
    for given in (features, torch.stack([feature.mean(0, keepdim=True) for feature in features])):
        task.zero_grad()
        loss = task("train", given, targets, items, records=defaultdict(list))
        loss.backward()
        found.append([loss.detach(), *(parameter.grad.clone() for parameter in task.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_layers_folded_into_one_give_what_they_give_one_by_one():
    layers = [torch.nn.Linear(DIM, 5), torch.nn.Linear(5, 4), torch.nn.Linear(4, 3)]
    batch = torch.randn(8, DIM)
    wanted = layers[2](layers[1](layers[0](batch)))
    torch.testing.assert_close(torch.nn.functional.linear(batch, *folded(layers)), wanted)


def test_predictions_of_utterances_with_one_name_keep_their_order(tmp_path):
    task, _ = utterance_task(tmp_path)
    records = {"name": ["noise", "noise", "a"], "predicted": ["b", "a", "a"], "truth": ["a", "b", "b"]}
    task.write_predictions("dev", records)
    assert (tmp_path / "dev_predict.txt").read_text() == "a a\nnoise b\nnoise a\n"
    assert (tmp_path / "dev_truth.txt").read_text() == "a b\nnoise a\nnoise b\n", "row by row as predicted"
