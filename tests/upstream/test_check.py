"""`python -m s3prl.upstream.check`: what a certificate says, and that broken promises are found."""

import pytest
import torch
from torch import nn

from s3prl.upstream import check
from s3prl.upstream.interfaces import UpstreamBase
from s3prl.upstream.tools import cost
from s3prl.upstream.tools.contract import examine

THIRD_PARTY = """
from torch.nn.utils.rnn import pad_sequence
from ..interfaces import UpstreamBase
from .parts import SCALE


class UpstreamExpert(UpstreamBase):
    def __init__(self, ckpt=None, model_config=None, **kwargs):
        super().__init__(**kwargs)
        self.batch_invariant = ckpt != "leaking"

    def get_downsample_rates(self, key):
        return 200

    def forward(self, wavs):
        padded = pad_sequence(wavs, batch_first=True)
        frames = padded[:, : padded.size(1) // 200 * 200].unflatten(1, (-1, 200)) * SCALE
        frames = frames - frames.mean((1, 2), keepdim=True)
        return {"hidden_states": [frames], "last_hidden_state": frames}
"""


class Model(UpstreamBase):
    """A convolution that keeps every promise but the one in `fault`."""

    def __init__(self, fault=None):
        super().__init__()
        self.fault = fault
        self.layer = nn.Conv1d(1, 8, 400, 160)
        self.batch_invariant = fault != "declared leak"

    def get_downsample_rates(self, key):
        return 160

    def num_frames(self, samples):
        return max(0, 1 + (samples - 400) // 160) + (self.fault == "frames")

    def forward(self, wavs):
        padded = nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        hidden = self.layer(padded[:, None]).transpose(1, 2)
        if self.fault in ("leak", "declared leak"):
            hidden = hidden - hidden.mean(1, keepdim=True)
        if self.fault == "random":
            hidden = hidden + torch.randn_like(hidden)
        if self.fault == "detached":
            hidden = hidden.detach()
        states = [hidden] * (1 + (len(wavs) if self.fault == "layers" else 1))
        return {"hidden_states": states, "last_hidden_state": 2 * hidden if self.fault == "last" else hidden}


def broken(model):
    return {finding.title for finding in examine(model) if not finding.kept}


def test_a_model_that_keeps_every_promise_has_none_broken_and_the_same_weights_after():
    model = Model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert broken(model) == set()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training and all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize(
    ("fault", "title"),
    [
        ("leak", "alone = batched"),
        ("frames", "frames"),
        ("layers", "layers"),
        ("random", "deterministic"),
        ("detached", "fine-tuning"),
        ("last", "output"),
    ],
)
def test_a_broken_promise_is_found(fault, title):
    assert title in broken(Model(fault))


def test_a_model_whose_values_the_batch_changes_keeps_every_promise_when_it_makes_none():
    findings = {finding.title: finding for finding in examine(Model("declared leak"))}
    assert findings["alone = batched"].kept
    assert "the batch changes values" in findings["alone = batched"].detail


def test_of_a_model_that_is_no_upstream_base_nothing_is_assumed():
    class Stranger(nn.Module):
        """It has the methods, and promised nothing."""

        def __init__(self):
            super().__init__()
            self.model = Model("declared leak")
            self.batch_invariant = True

        def num_frames(self, samples):
            return 1

        def get_downsample_rates(self, key):
            return 160

        def forward(self, wavs):
            return self.model(wavs)

    findings = {finding.title: finding for finding in examine(Stranger())}
    assert findings["alone = batched"].kept and findings["frames"].kept
    assert "no num_frames" in findings["frames"].detail


def test_a_promise_that_could_be_made_is_pointed_out():
    model = Model()
    model.batch_invariant = False
    (finding,) = (finding for finding in examine(model) if finding.title == "alone = batched")
    assert finding.kept and "`batch_invariant = True` would be true" in finding.detail


def test_the_certificate_names_dimensions_costs_and_promises(capsys):
    assert check.main(["-u", "example", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    for part in ("3 layer(s) of 80 dimensions, float32", "exact; ", "all promises kept"):
        assert part in out
    assert "parameters        45 k" in out
    assert "real-time factor" in out and "resident memory of a process of its own" in out


def test_several_upstreams_make_a_table_and_one_that_is_missing_is_reported(capsys, monkeypatch):
    monkeypatch.setattr(check.cost, "peak_memory", lambda *arguments: 1024)
    assert check.main(["--table", "-u", "fbank", "nothing_of_that_name", "--device", "cpu"]) == 2
    captured = capsys.readouterr()
    rows = [line.split(" | ") for line in captured.out.splitlines()]
    assert len(rows) == 3 and rows[2][0] == "| fbank" and rows[2][1] == "yes"
    assert "no upstream 'nothing_of_that_name'" in captured.err


def test_an_upstream_is_examined_with_the_options_of_the_runner(capsys):
    options = ["--upstream_ckpt", "-", "--upstream_alone", "-r"]
    assert check.main(["-u", "mel", *options, "--device", "cpu"]) == 0
    assert "the batch changes values" not in capsys.readouterr().out
    assert check.main(["-u", "mel", "--upstream_public_batch", "--device", "cpu"]) == 0
    assert "the batch changes values" in capsys.readouterr().out


def test_a_mistake_of_the_user_gives_exit_code_2(capsys):
    assert check.main(["-u", "fbank", "mfcc", "-k", "one", "--device", "cpu"]) == 2
    assert "-k has 1 value(s) for 2" in capsys.readouterr().err
    assert check.main(["-u", "./nowhere", "--device", "cpu"]) == 2
    assert "-u ./nowhere: there is no folder" in capsys.readouterr().err


def test_a_folder_of_a_third_party_is_examined_where_it_lies(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(check.cost, "peak_memory", lambda *arguments: 1024)
    folder = tmp_path / "their_model"
    folder.mkdir()
    (folder / "expert.py").write_text(THIRD_PARTY)
    (folder / "parts.py").write_text("SCALE = 0.5\n")
    assert check.main(["-u", str(folder), "--device", "cpu"]) == 1
    assert "BROKEN  alone = batched" in capsys.readouterr().out
    (folder / "hubconf.py").write_text(
        "from .expert import UpstreamExpert as _E\n\ndef leaking(**kwargs):\n    return _E(**kwargs)\n"
        "def other(**kwargs):\n    return _E(**kwargs)\n"
    )
    assert check.main(["-u", f"{folder}:leaking", "-k", "leaking", "--device", "cpu"]) == 0
    assert "no num_frames" in capsys.readouterr().out
    assert check.main(["-u", str(folder), "--device", "cpu"]) == 2
    assert "no function 'their_model'" in capsys.readouterr().err


class Recurrent(nn.Module):
    """An LSTM and attention, whose operators PyTorch's counter passes over on a CPU."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(16, 8, batch_first=True)

    def forward(self, wavs):
        frames = wavs[0].unflatten(0, (1, -1, 16))
        hidden, _ = self.lstm(frames)
        heads = hidden[:, None, ::10]
        return nn.functional.scaled_dot_product_attention(heads, heads, heads)


def test_multiplications_of_recurrences_and_attention_are_counted():
    frames = cost.SECONDS * 1000
    lstm, attention = frames * 4 * 8 * (16 + 8), 2 * (frames // 10) ** 2 * 8
    assert cost.macs_per_second(Recurrent()) == (lstm + attention) / cost.SECONDS
