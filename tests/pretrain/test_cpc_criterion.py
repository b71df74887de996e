"""The criterion of CPC: its loss by its definition, frame by frame, and what its predictors may see."""

import math

import pytest
import torch
from torch.nn import functional as F

from s3prl.pretrain.cpc.criterion import Criterion, CriterionSettings
from s3prl.pretrain.cpc.predictors import StackedLinear
from s3prl.utility.errors import UserError

STEPS, NEGATIVES, FRAMES, DIM = 3, 5, 9, 16


def criterion(kind, context=DIM, reverse=False):
    torch.manual_seed(0)
    settings = CriterionSettings(nPredicts=STEPS, negativeSamplingExt=NEGATIVES, rnnMode=kind)
    made = Criterion(settings, context, DIM, FRAMES, reverse).eval()
    for weight in made.parameters():  # also biases and norms, which begin at 0 and 1
        torch.nn.init.normal_(weight, std=0.5)
    return made


def frames(dim=DIM, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, FRAMES, dim, generator=generator), torch.randn(
        batch, FRAMES, DIM, generator=generator
    )


def linear(weights, step, context):
    return context @ weights["project.weight"][step].T


def applied(weights, name, step, inputs):
    return inputs @ weights[f"{name}.weight"][step].T + weights[f"{name}.bias"][step]


def feed_forward(weights, step, context):
    return applied(weights, "outer", step, F.relu(applied(weights, "inner", step, context)))


def norm(weights, name, step, inputs):
    return F.layer_norm(inputs, (DIM,), weights[f"{name}.weight"][step, 0], weights[f"{name}.bias"][step, 0])


def transformer(weights, step, context):
    """One query at a time, of one head, on what came before it."""
    query, key, value = applied(weights, "attend", step, context).view(len(context), 3, 8, -1).unbind(1)
    size, lags = query.size(2), weights["lags"][step]
    attended = torch.zeros(len(context), 8, size)
    for now in range(len(context)):
        for head in range(8):
            scores = torch.stack(
                [query[now, head] @ (key[then, head] + lags[:, -1 - (now - then)]) for then in range(now + 1)]
            )
            attended[now, head] = (scores / math.sqrt(size)).softmax(0) @ value[: now + 1, head]
    merged = applied(weights, "merge", step, attended.flatten(1))
    hidden = norm(weights, "after_attention", step, context + merged)
    return norm(weights, "after_feedforward", step, hidden + feed_forward(weights, step, hidden))


@pytest.mark.parametrize(
    ("kind", "predict", "context"),
    [("linear", linear, 12), ("ffd", feed_forward, 12), ("transformer", transformer, DIM)],
)
def test_the_loss_is_that_of_every_step_and_position_by_itself(kind, predict, context, monkeypatch):
    made = criterion(kind, context)
    weights = dict(made.wPrediction.state_dict())
    features, encoded = frames(context)
    negatives = torch.randn(2, FRAMES - STEPS, NEGATIVES, DIM, generator=torch.Generator().manual_seed(2))
    monkeypatch.setattr(made, "_others", lambda frames: negatives)
    losses, right = [], [0] * STEPS
    for utterance in range(2):
        for step in range(STEPS):
            predicted = predict(weights, step, features[utterance, :-STEPS])
            for position in range(FRAMES - STEPS):
                true = encoded[utterance, position + step + 1]
                candidates = torch.cat([true[None], negatives[utterance, position]])
                scores = candidates @ predicted[position] / DIM
                losses.append(F.cross_entropy(scores, torch.tensor(0)))
                right[step] += int(scores.argmax() == 0)
    loss, accuracy = made(features, encoded)
    torch.testing.assert_close(loss, torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(accuracy, torch.tensor(right) / (2.0 * (FRAMES - STEPS)))


@pytest.mark.parametrize("kind", ["linear", "ffd", "transformer"])
def test_a_prediction_sees_no_context_behind_its_position(kind):
    features = frames()[0].requires_grad_()
    predicted = criterion(kind).wPrediction(features[:, :-STEPS])
    (seen,) = torch.autograd.grad(predicted[:, :, 3].square().sum(), features)
    assert seen[:, 3].abs().sum() > 0 and not seen[:, 4:].any()


def test_predicting_backwards_is_predicting_a_flipped_recording():
    features, encoded = frames()
    forwards, backwards = criterion("linear"), criterion("linear", reverse=True)
    torch.manual_seed(3)
    expected = forwards(features, encoded)
    torch.manual_seed(3)
    found = backwards(features.flip(1), encoded.flip(1))
    assert torch.equal(found.loss, expected.loss)


def test_negatives_are_frames_of_the_whole_batch_but_not_of_the_position():
    settings = CriterionSettings(nPredicts=2, negativeSamplingExt=400, rnnMode="linear")
    made = Criterion(settings, 1, 1, 6)
    numbers = torch.arange(18.0).view(3, 6, 1)
    torch.manual_seed(0)
    drawn = made._others(numbers)[..., 0]
    assert drawn.shape == (3, 4, 400)
    for position in range(4):
        for utterance in range(3):
            found = set(drawn[utterance, position].int().tolist())
            assert found == {number for number in range(18) if number % 6 != position}


def test_predictors_that_know_nothing_have_the_loss_of_chance():
    made = criterion("linear")
    torch.nn.init.zeros_(made.wPrediction.project.weight)
    loss, accuracy = made(*frames())
    assert loss.item() == pytest.approx(math.log(1 + NEGATIVES)) and not accuracy.any()


def test_dropout_of_predictions_is_there_in_training_only():
    features, encoded = frames()
    settings = CriterionSettings(
        nPredicts=STEPS, negativeSamplingExt=NEGATIVES, rnnMode="linear", dropout=True
    )
    made = Criterion(settings, DIM, DIM, FRAMES)

    def loss():
        torch.manual_seed(0)
        return made(features, encoded).loss

    trained, evaluated = loss(), (made.eval(), loss())[1]
    made.settings = CriterionSettings(nPredicts=STEPS, negativeSamplingExt=NEGATIVES, rnnMode="linear")
    assert torch.equal(evaluated, loss()) and not torch.equal(trained, evaluated)


def test_a_linear_predictor_of_a_larger_encoder_begins_with_the_context_itself():
    settings = CriterionSettings(nPredicts=STEPS, rnnMode="linear")
    made = Criterion(settings, 4, 6, FRAMES)
    context = torch.randn(2, 5, 4)
    predicted = made.wPrediction(context)
    assert predicted.shape == (STEPS, 2, 5, 6)
    for step in range(STEPS):
        torch.testing.assert_close(predicted[step, ..., :4], context)


@pytest.mark.parametrize(
    ("settings", "sizes", "message"),
    [
        ({"nPredicts": 9}, (16, 16, 9), "criterion.nPredicts: a cut of 9 frames .* task.sizeWindow"),
        ({}, (16, 8, 20), r"hiddenGar \(16\) and model.hiddenEncoder \(8\) .* linear or ffd"),
        ({}, (12, 12, 20), "the same multiple of 8"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused(settings, sizes, message):
    with pytest.raises(UserError, match=message):
        Criterion(CriterionSettings(**settings), *sizes)


@pytest.mark.parametrize("kind", ["linear", "ffd", "transformer"])
def test_the_criterion_works_in_bfloat16(kind):
    made = criterion(kind)
    features, encoded = frames()
    torch.manual_seed(0)
    expected = made(features, encoded).loss.item()
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = made(features, encoded).loss
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected, rel=0.05)
    assert all(weight.grad is not None for weight in made.parameters())


def test_what_is_multiplied_in_bfloat16_stays_in_it():
    layer = StackedLinear(STEPS, DIM, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = [layer(torch.randn(shape)) for shape in ((5, DIM), (STEPS, 5, DIM))]
    assert [(each.dtype, each.shape) for each in found] == [(torch.bfloat16, (STEPS, 5, 4))] * 2
