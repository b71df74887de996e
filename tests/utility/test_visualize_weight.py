"""The layer weights of downstream checkpoints, as a table and as bars."""

import argparse
from pathlib import Path

import pytest
import torch
from conftest import ROOT, tiny

from s3prl.utility import pictures, visualize_weight
from s3prl.utility.errors import UserError

TRAINED = ROOT / "tests/data/asr_before_the_engine/dev-best.ckpt"


def write_checkpoint(path, weights):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"Featurizer": {"weights": weights}, "Downstream": {}, "Args": argparse.Namespace()}, path)
    return path


def heights(picture):
    """The bars of every checkpoint, from left to right."""
    (panel,) = picture.axes
    return {bars.get_label(): [bar.get_height() for bar in bars] for bars in panel.containers}


def run(*arguments):
    return visualize_weight.main([str(argument) for argument in arguments])


def test_the_table_has_what_was_learned_and_its_softmax(tmp_path, capsys):
    assert run("--ckpt", TRAINED, "--out_dir", tmp_path / "new" / "folder") == 0
    learned = torch.load(TRAINED, weights_only=True)["Featurizer"]["weights"]
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["layer", "weight", "norm"]
    for layer, (weight, norm) in enumerate(zip(learned, learned.softmax(-1), strict=True)):
        assert rows[2 + layer] == [str(layer), f"{weight:.4f}", f"{norm:.4f}"]
    assert (tmp_path / "new/folder/visualize_weight.png").stat().st_size > 5_000
    assert (tmp_path / "new/folder/visualize_weight.pdf").read_bytes().startswith(b"%PDF")


def test_bars_are_the_softmax_those_of_several_checkpoints_side_by_side():
    weights = {"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([2.0, 0.0, 0.0])}
    picture = visualize_weight.figure(weights)
    found = heights(picture)
    assert list(found) == ["a", "b"]
    for name, learned in weights.items():
        assert found[name] == pytest.approx(learned.softmax(-1).tolist())
    first, second = (bars[0] for bars in picture.axes[0].containers)
    assert first.get_x() + first.get_width() == pytest.approx(second.get_x()), "beside each other"


def test_checkpoints_are_named_by_what_differs_in_their_paths(tmp_path, capsys):
    paths = [write_checkpoint(tmp_path / run / "dev-best.ckpt", torch.zeros(2)) for run in ("one", "two")]
    assert run("--ckpt", *paths) == 0
    assert "one/dev-best.ckpt: norm" in capsys.readouterr().out
    assert (tmp_path / "visualize_weight.png").is_file()
    assert run("--ckpt", *paths, "--name", "hubert", "wavlm") == 0
    assert "wavlm: norm" in capsys.readouterr().out
    assert run("--ckpt", *paths, "--name", "hubert") == 2
    assert "--name needs 2 different names" in capsys.readouterr().err


def test_names_are_in_the_plot_as_they_are(tmp_path):
    names = ["_hidden/dev-best.ckpt", "a$x^$_{/dev-best.ckpt"]
    picture = visualize_weight.figure({name: torch.zeros(2) for name in names})
    assert [text.get_text() for text in picture.legends[0].get_texts()] == names
    pictures.save(picture, [tmp_path / "plot.png"])
    assert (tmp_path / "plot.png").is_file()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"Featurizer": {"weights": torch.tensor([0.0, float("nan")])}}, "diverged"),
        ({"Featurizer": {"weights": [0.0, 1.0]}}, "has learned no weights"),
        ({"Featurizer": [1]}, "has learned no weights"),
        ({3: [1]}, "no checkpoint of a downstream run.*but 3"),
    ],
)
def test_odd_weights_are_refused(tmp_path, state, message):
    torch.save(state, tmp_path / "odd.ckpt")
    with pytest.raises(UserError, match=message):
        visualize_weight.layer_weights(tmp_path / "odd.ckpt")


def test_a_run_on_a_single_layer_has_nothing_to_show_and_says_why(downstream, capsys):
    downstream("-u", "fbank", "-d", "example", "-p", "run", "-o", tiny(total_steps=2))
    capsys.readouterr()
    assert run("--ckpt", "run/states-2.ckpt") == 2
    error = capsys.readouterr().err
    assert "run/states-2.ckpt has learned no weights of layers" in error and "one layer only" in error
    assert not Path("run/visualize_weight.png").exists()


def test_other_files_are_refused_with_what_they_hold(tmp_path):
    torch.save({"Transformer": {}, "Step": 3}, tmp_path / "tera.ckpt")
    with pytest.raises(UserError, match=r"no checkpoint of a downstream run.*Transformer, Step"):
        visualize_weight.layer_weights(tmp_path / "tera.ckpt")
    with pytest.raises(UserError, match=r"is a folder.*It has: .*tera\.ckpt"):
        visualize_weight.layer_weights(tmp_path)
