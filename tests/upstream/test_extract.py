"""`python -m s3prl.upstream.extract`: a folder of features that is complete, resumable and honest."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT
from safetensors.torch import load_file

from s3prl import hub
from s3prl.upstream.extract import main
from s3prl.upstream.interfaces import Featurizer
from s3prl.upstream.tools import extraction
from s3prl.upstream.tools.recordings import find_recordings, plan
from s3prl.utility import audio
from s3prl.utility.errors import UserError

NAMES = [f"{speaker}/u{number}" for speaker in ("a", "b") for number in range(4)]


@pytest.fixture
def wavs(tmp_path):
    """Eight recordings of different length in two folders."""
    generator, folder = np.random.default_rng(0), tmp_path / "wavs"
    for index, name in enumerate(NAMES):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = 0.1 * generator.standard_normal(4000 + 900 * index)
        soundfile.write(path, samples.astype(np.float32), 16000, subtype="FLOAT")
    return folder


@pytest.fixture
def extract(wavs, tmp_path):
    """Run the command on these recordings; returns the exit code."""

    def run(*arguments, source=wavs, output=tmp_path / "out"):
        base = ["--input", source, "--output", output, "--device", "cpu", "--batch_seconds", 1.2]
        return main([*map(str, base), *map(str, arguments)])

    return run


def index(folder, name="index.tsv"):
    with (folder / name).open() as file:
        return {row["utterance"]: row for row in csv.DictReader(file, delimiter="\t")}


def example():
    torch.manual_seed(0)
    return hub.get("example")().eval()


def read(path):
    return load_file(path)["features"] if path.suffix == ".safetensors" else torch.from_numpy(np.load(path))


@pytest.mark.parametrize("kind", ["safetensors", "npy"])
def test_every_utterance_gets_a_file_with_all_layers_as_it_has_them_alone(extract, wavs, tmp_path, kind):
    assert extract("-u", "example", "--format", kind) == 0
    rows, expert = index(tmp_path / "out"), example()
    assert list(rows) == NAMES
    for name, row in rows.items():
        wav = torch.from_numpy(audio.load(wavs / f"{name}.wav"))
        with torch.no_grad():
            expected = torch.stack(expert([wav])["hidden_states"])[:, 0]
        found = read(tmp_path / "out" / row["file"])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        assert row["file"] == f"{name}.{kind}"
        assert (int(row["frames"]), int(row["dim"])) == tuple(found.shape[1:])
        assert float(row["seconds"]) == pytest.approx(len(wav) / 16000, abs=1e-4)


def test_chosen_layers_are_written_in_the_order_asked_for(extract, tmp_path):
    assert extract("-u", "example") == 0
    assert extract("-u", "example", "--layers=-1,0", output=tmp_path / "two") == 0
    everything = read(tmp_path / "out/a/u0.safetensors")
    assert torch.equal(read(tmp_path / "two/a/u0.safetensors"), everything[[-1, 0]])
    assert extract("-u", "example", "-l", "2", output=tmp_path / "one") == 0
    assert torch.equal(read(tmp_path / "one/a/u0.safetensors"), everything[[2]])
    assert extract("-u", "example", "-l", "3", output=tmp_path / "three") == 2


def test_another_output_of_the_upstream_is_written_and_not_mixed_with_its_layers(extract, tmp_path, capsys):
    assert extract("-u", "example", "-s", "last_hidden_state") == 0
    assert extract("-u", "example", "-l", "-1", output=tmp_path / "last") == 0
    for name in ("a/u0", "b/u3"):
        one, other = (read(tmp_path / folder / f"{name}.safetensors") for folder in ("out", "last"))
        assert one.dim() == 3 and torch.equal(one, other)
    assert extract("-u", "example") == 2
    assert "output: last_hidden_state there, None now" in capsys.readouterr().err
    assert extract("-u", "example", "-s", "nothing", output=tmp_path / "none") == 2
    assert "no output 'nothing' (-s). It offers: hidden_states" in capsys.readouterr().err


def test_the_runners_options_choose_the_upstream(extract, tmp_path):
    config = ROOT / "upstream/baseline/mfcc.yaml"
    given = ["--upstream", "baseline_local", "--upstream_model_config", config, "--upstream_refresh"]
    assert extract(*given, "--upstream_layer_selection", "0", "--upstream_alone") == 0
    assert {row["dim"] for row in index(tmp_path / "out").values()} == {"39"}
    assert extract("-u", "tera_local", "--upstream_ckpt", ROOT / "tests/data/tera/ckpt.ckpt", "-l", "-1",
                   output=tmp_path / "tera") == 0  # fmt: skip
    assert {row["dim"] for row in index(tmp_path / "tera").values()} == {"36"}


def test_features_come_from_a_folder_of_the_users_too(extract, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "upstream/example", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert extract("-u", "./mine:example") == 0
    assert f'"{tmp_path}/mine:example"' in (tmp_path / "out/settings.json").read_text()


def test_the_weighting_of_a_task_gives_its_features(extract, wavs, tmp_path, capsys):
    expert = example()
    featurizer = Featurizer(expert)
    with torch.no_grad():
        featurizer.weights.copy_(torch.tensor([0.5, -1.0, 2.0]))
    arguments = {"upstream": "example", "upstream_ckpt": None, "upstream_feature_selection": "hidden_states"}
    state = {"Featurizer": featurizer.state_dict(), "Upstream": expert.state_dict(), "Args": arguments}
    torch.save(state, tmp_path / "dev-best.ckpt")
    assert extract("--weights", tmp_path / "dev-best.ckpt") == 0
    wav = torch.from_numpy(audio.load(wavs / "b/u3.wav"))
    with torch.no_grad():
        (expected,) = featurizer([wav], expert([wav]))
    found = read(tmp_path / "out/b/u3.safetensors")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert extract("-u", "fbank", "--weights", tmp_path / "dev-best.ckpt") == 2
    assert "trained with upstream = example, not fbank" in capsys.readouterr().err
    torch.save({"weights": {}}, tmp_path / "other.ckpt")
    assert extract("--weights", tmp_path / "other.ckpt") == 2
    assert "no checkpoint of a downstream task" in capsys.readouterr().err


def test_a_checkpoint_named_from_the_folder_of_the_training_is_found(extract, tmp_path):
    config = tmp_path / "training" / "own.yaml"
    config.parent.mkdir()
    shutil.copy(ROOT / "upstream/baseline/mfcc.yaml", config)
    arguments = {"upstream": "baseline_local", "upstream_ckpt": "own.yaml", "launch_dir": str(config.parent)}
    torch.save({"Featurizer": {}, "Args": arguments}, tmp_path / "states-1.ckpt")
    assert extract("--weights", tmp_path / "states-1.ckpt") == 0
    assert {row["dim"] for row in index(tmp_path / "out").values()} == {"39"}
    arguments["upstream_model_config"] = arguments.pop("upstream_ckpt")
    torch.save({"Featurizer": {}, "Args": arguments}, tmp_path / "states-2.ckpt")
    assert extract("--weights", tmp_path / "states-2.ckpt", output=tmp_path / "two") == 0


def test_an_upstream_is_prepared_for_the_task_whose_weighting_is_taken(extract, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(type(example()), "for_task", lambda self, task: told.append(task))
    arguments = {"upstream": "example", "downstream": "asr", "config": "downstream/asr/mini.yaml"}
    torch.save({"Featurizer": {}, "Args": arguments}, tmp_path / "dev-best.ckpt")
    assert extract("--weights", tmp_path / "dev-best.ckpt") == 0
    assert told == ["asr-mini"]


def test_what_is_complete_is_not_done_again(extract, wavs, tmp_path, capsys):
    assert extract("-u", "example") == 0
    out = tmp_path / "out"
    first = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    (out / "a/u1.safetensors").unlink()
    shutil.copy(wavs / "a/u0.wav", wavs / "b/new.wav")
    capsys.readouterr()
    assert extract("-u", "example") == 0
    assert "2 utterance(s) written, 7 were there already" in capsys.readouterr().out
    assert all(
        path.stat().st_mtime_ns == time for path, time in first.items() if path.name != "u1.safetensors"
    )
    torch.testing.assert_close(read(out / "b/new.safetensors"), read(out / "a/u0.safetensors"))
    assert len(index(out)) == 9


def test_a_killed_run_goes_on_and_ends_with_the_same_files(extract, tmp_path, monkeypatch):
    assert extract("-u", "example", output=tmp_path / "whole") == 0
    compute, calls = extraction.Extraction._compute, []

    def dies_in_the_third_batch(self, wavs):
        calls.append(wavs)
        if len(calls) == 3:
            raise RuntimeError("killed")
        return compute(self, wavs)

    with monkeypatch.context() as patch:
        patch.setattr(extraction.Extraction, "_compute", dies_in_the_third_batch)
        with pytest.raises(RuntimeError, match="killed"):
            extract("-u", "example")
    out = tmp_path / "out"
    with (out / ".state/1-of-1.tsv").open("a") as journal:
        journal.write("a/u0\ta/u0.safe")  # half a line
    (out / "a").mkdir(exist_ok=True)
    (out / "a/.u0.safetensors.1.partial").write_bytes(b"half a file")
    assert 0 < len(list(out.rglob("*.safetensors"))) < 8
    assert extract("-u", "example") == 0
    for name in NAMES:
        assert torch.equal(read(out / f"{name}.safetensors"), read(tmp_path / f"whole/{name}.safetensors"))
    assert index(out) == index(tmp_path / "whole")
    assert not list(out.rglob(".*.partial"))


def test_where_the_batch_changes_values_a_missing_file_gets_those_of_its_batch(
    extract, tmp_path, monkeypatch
):
    expert, batches = example(), []
    expert.batch_invariant = False
    forward = expert.forward
    monkeypatch.setattr(expert, "forward", lambda wavs: batches.append(len(wavs)) or forward(wavs))
    monkeypatch.setattr("s3prl.upstream.extract.build", lambda *request, **options: expert)
    assert extract("-u", "example", "--batch_seconds", "100") == 0
    before = read(tmp_path / "out/a/u1.safetensors")
    (tmp_path / "out/a/u1.safetensors").unlink()
    batches.clear()
    assert extract("-u", "example", "--batch_seconds", "100") == 0
    assert max(batches) == len(NAMES)
    assert torch.equal(read(tmp_path / "out/a/u1.safetensors"), before)


@pytest.mark.parametrize(
    "changed", [["-u", "mfcc"], ["-u", "fbank", "--layers", "0"], ["-u", "fbank", "--format", "npy"]]
)
def test_features_of_other_settings_are_not_mixed_into_a_folder(extract, capsys, changed):
    assert extract("-u", "fbank") == 0
    assert extract(*changed) == 2
    assert "holds features of other settings" in capsys.readouterr().err


def test_other_weights_of_the_same_model_are_other_settings(extract, tmp_path, capsys, monkeypatch):
    assert extract("-u", "example") == 0
    monkeypatch.setattr(torch, "manual_seed", lambda seed: torch.default_generator.manual_seed(seed + 1))
    assert extract("-u", "example") == 2
    assert "parameters" in capsys.readouterr().err


def test_unusable_recordings_are_listed_and_counted_until_they_are_mended(extract, wavs, tmp_path, capsys):
    (wavs / "a/broken.flac").write_bytes(b"no audio")
    (wavs / "a/phone.m4a").write_bytes(b"not read by libsndfile")
    soundfile.write(wavs / "short.wav", np.zeros(100, dtype=np.float32), 16000)
    assert extract("-u", "fbank") == 1
    assert "8 utterance(s) written, 0 were there already, 3 failed" in capsys.readouterr().out
    bad = index(tmp_path / "out", "bad_audio.tsv")
    assert list(bad) == ["a/broken", "a/phone", "short"]
    assert "too short" in bad["short"]["reason"] and "not audio" in bad["a/broken"]["reason"]
    for name in ("a/broken.flac", "a/phone.m4a", "short.wav"):
        (wavs / name).unlink()
    soundfile.write(wavs / "short.wav", np.zeros(4000, dtype=np.float32), 16000)
    assert extract("-u", "fbank") == 0
    assert len(index(tmp_path / "out")) == 9
    assert not (tmp_path / "out/bad_audio.tsv").exists()


def test_what_the_upstream_refuses_alone_does_not_take_its_batch_along(extract, wavs, tmp_path, monkeypatch):
    expert = hub.get("fbank")()
    expert.num_frames = lambda samples: 1  # an upstream that finds out only when it computes
    monkeypatch.setattr("s3prl.upstream.extract.build", lambda *request, **options: expert)
    soundfile.write(wavs / "short.wav", np.zeros(100, dtype=np.float32), 16000)
    monkeypatch.setattr(expert, "forward", refusing(expert.forward))
    assert extract("-u", "fbank", "--batch_seconds", "100") == 1
    assert list(index(tmp_path / "out", "bad_audio.tsv")) == ["short"]
    assert len(index(tmp_path / "out")) == 8


def refusing(forward):
    def wrapped(wavs):
        if min(map(len, wavs)) < 400:
            raise UserError("too short")
        return forward(wavs)

    return wrapped


def test_a_batch_too_large_for_the_memory_is_halved(extract, tmp_path, monkeypatch):
    expert = example()
    forward = expert.forward

    def small_memory(wavs):
        if len(wavs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(wavs)

    monkeypatch.setattr(expert, "forward", small_memory)
    monkeypatch.setattr("s3prl.upstream.extract.build", lambda *request, **options: expert)
    assert extract("-u", "example", "--batch_seconds", "100") == 0
    assert len(index(tmp_path / "out")) == 8


def test_shards_share_the_work_and_end_with_one_index(extract, tmp_path):
    assert extract("-u", "example", output=tmp_path / "whole") == 0
    for shard in ("2/3", "1/3", "3/3"):
        assert extract("-u", "example", "--shard", shard) == 0
    assert index(tmp_path / "out") == index(tmp_path / "whole")
    assert extract("-u", "example", "--shard", "4/3") == 2


def test_torchrun_shares_the_work_and_all_finish_although_one_has_bad_audio(wavs, tmp_path):
    (wavs / "broken.wav").write_bytes(b"no audio")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    options = ["-u", "fbank", "--input", wavs, "--output", tmp_path / "out", "--batch_seconds", "0.5"]
    command = [*launcher, "s3prl.upstream.extract", *map(str, options), "--device", "cpu"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert "4 utterance(s) written" in result.stdout, result.stderr
    assert list(index(tmp_path / "out")) == NAMES
    assert list(index(tmp_path / "out", "bad_audio.tsv")) == ["broken"]


def test_a_list_names_recordings_from_its_own_folder_or_by_absolute_paths(wavs, tmp_path):
    listing = wavs / "list.txt"
    listing.write_text("a/u0.wav\tignored\n\nb/u1.wav\n")
    assert find_recordings(listing) == {"a/u0": wavs / "a/u0.wav", "b/u1": wavs / "b/u1.wav"}
    listing.write_text(f"{wavs / 'a/u0.wav'}\n{wavs / 'b/u1.wav'}\n")
    assert list(find_recordings(listing)) == ["a/u0", "b/u1"]
    assert list(find_recordings(wavs / "a/u0.wav")) == ["u0"]
    listing.write_text("../elsewhere.wav\n")
    with pytest.raises(UserError, match="leaves the folder"):
        find_recordings(listing)


def test_a_missing_file_of_a_list_is_reported(extract, wavs, tmp_path):
    (wavs / "list.txt").write_text("a/u0.wav\nnowhere/u9.wav\n")
    assert extract("-u", "fbank", source=wavs / "list.txt") == 1
    assert list(index(tmp_path / "out")) == ["a/u0"]
    assert list(index(tmp_path / "out", "bad_audio.tsv")) == ["nowhere/u9"]


def test_mistakes_about_the_input_are_told(extract, wavs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert extract("-u", "fbank", source=tmp_path / "empty") == 2
    assert "has no recording" in capsys.readouterr().err
    assert extract("-u", "fbank", source=tmp_path / "nowhere") == 2
    shutil.copy(wavs / "a/u0.wav", wavs / "a/u0.flac")
    assert extract("-u", "fbank") == 2
    assert "same file" in capsys.readouterr().err
    assert extract("-u", "fbank", "--layers", "six") == 2


def test_batches_are_of_similar_length_and_limited_with_their_padding():
    lengths = {"a": 16000, "b": 48000, "c": 32000, "d": 15000, "e": 960000}
    assert plan(lengths, batch_seconds=5) == [["e"], ["b"], ["c", "a"], ["d"]]


def test_alone_keeps_padding_out_of_models_that_look_at_it(extract, wavs, tmp_path):
    assert extract("-u", "linear", "--upstream_public_batch", "--upstream_alone") == 0
    assert extract("-u", "linear", "--upstream_public_batch", output=tmp_path / "public") == 0
    expert, same = hub.get("linear")(), []
    for name, row in index(tmp_path / "out").items():
        alone = expert([torch.from_numpy(audio.load(wavs / f"{name}.wav"))])["hidden_states"][0]
        found = read(tmp_path / "out" / row["file"])
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-6)
        same.append(torch.allclose(read(tmp_path / "public" / row["file"]), found, atol=1e-3))
    assert not all(same)
