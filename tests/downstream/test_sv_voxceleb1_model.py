"""The x-vector of speaker verification, its poolings, and its losses."""

import math

import pytest
import torch

from s3prl.downstream.common.heads import StatisticsPooling
from s3prl.downstream.sv_voxceleb1.losses import AAMSoftmaxLoss, AMSoftmaxLoss, SoftmaxLoss
from s3prl.downstream.sv_voxceleb1.model import Model, ModelSettings

SMALL = {"XVector": {"agg_dim": 48}}


@pytest.mark.parametrize("pooling", ["SP", "MP", "AP", "ASP"])
@pytest.mark.parametrize("module", ["XVector", "Identity"])
def test_an_utterance_has_in_a_padded_batch_the_embedding_that_it_has_alone(module, pooling):
    torch.manual_seed(0)
    settings = ModelSettings(32, module, pooling, "UtteranceExtractor", SMALL)
    connector, model = torch.nn.Linear(4, 32), Model(settings, "modelrc")
    features = [torch.randn(frames, 4) for frames in (60, 15, 33, 16)]
    together = model.inference(features, connector)
    alone = torch.cat([model.inference([feature], connector) for feature in features])
    assert torch.allclose(together, alone, atol=1e-6) and not torch.allclose(
        together[0], together[2], atol=1e-4
    )
    assert together.norm(dim=-1).tolist() == pytest.approx([1] * 4)
    assert torch.allclose(model(features, connector)[1], model(features[1:2], connector)[0], atol=1e-6)


def test_an_utterance_with_fewer_frames_than_the_layers_lose_is_repeated():
    torch.manual_seed(0)
    connector, model = torch.nn.Linear(4, 32), Model(ModelSettings(32), "modelrc")
    short, long = torch.randn(6, 4), torch.randn(40, 4)
    found = model.inference([short, long], connector)
    assert torch.allclose(found[0], model.inference([torch.cat([short] * 3)[:15]], connector)[0], atol=1e-6)
    assert torch.isfinite(model.inference([torch.randn(1, 4)], connector)).all()


def test_statistics_of_an_utterance_are_those_of_its_own_frames():
    frames, lengths = torch.randn(3, 9, 4), [9, 1, 5]
    pooled, _ = StatisticsPooling()(frames, lengths)
    for one, frame, length in zip(pooled, frames, lengths, strict=True):
        own = frame[:length]
        deviation = own.std(0) if length > 1 else torch.zeros(4)
        torch.testing.assert_close(one, torch.cat([own.mean(0), deviation]), atol=1e-3, rtol=1e-4)


def test_a_frame_sees_seven_frames_before_and_behind_it():
    torch.manual_seed(0)
    extractor = Model(ModelSettings(8), "modelrc").framelevel_feature_extractor
    frames = torch.randn(1, 40, 8)
    before = extractor(frames)
    frames[0, 20] += 1
    changed = (extractor(frames) != before).any(-1)[0].nonzero().flatten() + 7  # the frame in the middle
    assert before.shape == (1, 26, 1500)
    assert (changed.min(), changed.max()) == (13, 27)


def test_the_margin_losses_are_their_formulas():
    torch.manual_seed(0)
    embeddings, speakers = torch.randn(6, 5), torch.tensor([0, 2, 1, 1, 2, 0])
    additive, angular = AMSoftmaxLoss(5, 3, s=20.0, m=0.4), AAMSoftmaxLoss(5, 3)
    embeddings[5] = -3 * angular.weight[0].detach()  # beyond the turn, at 180 degrees
    for loss, weight in ((additive, additive.W.detach().T), (angular, angular.weight.detach())):
        for row, speaker, found in zip(
            embeddings, speakers.tolist(), loss(embeddings, speakers), strict=True
        ):
            cosines = [float(row @ one / row.norm() / one.norm()) for one in weight]
            if loss is additive:
                cosines[speaker] -= 0.4
            elif (angle := math.acos(max(-1.0, min(1.0, cosines[speaker])))) < math.pi - 0.3:
                cosines[speaker] = math.cos(angle + 0.3)
            else:
                cosines[speaker] -= 0.3 * math.sin(math.pi - 0.3)
            powers = [math.exp((20.0 if loss is additive else 15.0) * cosine) for cosine in cosines]
            assert float(found.detach()) == pytest.approx(-math.log(powers[speaker] / sum(powers)), abs=1e-4)
    plain = SoftmaxLoss(5, 3)
    expected = torch.nn.functional.cross_entropy(plain.fc(embeddings), speakers)
    assert plain(embeddings, speakers).mean().item() == pytest.approx(expected.item())


def test_a_loss_can_be_differentiated_at_the_angle_0():
    loss = AAMSoftmaxLoss(2, 2)
    embeddings = loss.weight[:1].detach().clone().requires_grad_()
    loss(embeddings, torch.tensor([0])).sum().backward()
    assert torch.isfinite(embeddings.grad).all() and torch.isfinite(loss.weight.grad).all()
