"""Speaker verification: training data, trials, configs, that it learns, an evaluation that was killed."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, metrics
from voices import RATE, make_strangers, sing

from s3prl.downstream.common.metrics.eer import equal_error_rate
from s3prl.downstream.sv_voxceleb1.expert import DownstreamExpert
from s3prl.downstream.sv_voxceleb1.scoring import cosine_scores
from s3prl.utility import heard_lengths
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError

FOLDER = ROOT / "downstream/sv_voxceleb1"
TRAINED = ["id10001", "id10003", "id10004", "id10006"]  # make_strangers keeps id10002 and id10005 for dev
SMALL = {"input_dim": 32, "module_config": {"XVector": {"agg_dim": 48}}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return make_strangers(tmp_path_factory.mktemp("strangers") / "VoxCeleb1")


@pytest.fixture
def own(tmp_path):
    """A corpus that a test may change."""
    return make_strangers(tmp_path / "VoxCeleb1")


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Nothing is written but to folders of the test."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)


def block(root, model=SMALL, **datarc):
    """`downstream_expert` of the shipped config, small and on the corpus of `root`."""
    found = load_yaml(FOLDER / "config.yaml")["downstream_expert"]
    own = {"file_path": str(root), "num_workers": 0, "vad_config": {"min_sec": 2000}}
    found["datarc"].update(own | datarc)
    found["modelrc"].update(model)
    return found


def build(root, expdir="unused", model=SMALL, **datarc):
    torch.manual_seed(0)
    return DownstreamExpert(4, downstream_expert=block(root, model, **datarc), expdir=str(expdir))


def command(root, steps=4, **datarc):
    """Arguments of a short training; the config is written to asv.yaml."""
    config = load_yaml(FOLDER / "config.yaml")
    datarc = {"max_timestep": 4800, "train_batch_size": 8, "eval_batch_size": 4, **datarc}
    config["downstream_expert"] = block(root, **datarc)
    config["runner"].update(
        total_steps=steps, gradient_accumulate_steps=1, log_step=steps, eval_step=steps, save_step=steps,
        draw_curves=False,
    )  # fmt: skip
    config["optimizer"]["lr"] = 2e-3
    Path("asv.yaml").write_text(yaml.safe_dump(config))
    return ["-u", "fbank", "-d", "sv_voxceleb1", "-c", "asv.yaml"]


def test_the_model_of_the_shipped_config_has_the_published_size(shared):
    task = DownstreamExpert(768, downstream_expert=block(shared, {}), expdir="unused")
    layers = [(768, 512), (5 * 512, 512), (3 * 512, 512), (3 * 512, 512), (512, 512), (512, 1500)]
    layers += [(3000, 512), (512, 512)]
    expected = sum(fan_in * fan_out + fan_out for fan_in, fan_out in layers) + 512 * len(TRAINED)
    assert sum(parameter.numel() for parameter in task.parameters()) == expected
    names = set(task.state_dict())
    assert {
        "connector.weight",
        "model.framelevel_feature_extractor.module.0.kernel.weight",
        "objective.W",
    } < names
    assert task.state_dict()["model.framelevel_feature_extractor.module.0.kernel.weight"].shape == (512, 2560)
    assert "model.utterancelevel_feature_extractor.linear1.weight" in names


def test_development_speakers_are_not_trained_on_unless_a_switch_says_so(shared):
    task = build(shared)
    assert task.speakers == TRAINED
    assert Counter(item.label for item in task.listed("train")) == dict.fromkeys(TRAINED, 6)
    assert {item.label[:7] for item in task.listed("dev")} == {"id10002", "id10005"}
    assert build(shared, train_on_dev_speakers=True).speakers == [
        f"id{number}" for number in range(10001, 10007)
    ]


def test_the_speakers_of_a_list_of_ones_own_are_those_left_out_of_training(shared, tmp_path):
    trials = tmp_path / "mine.txt"
    lines = [
        "1 id10001/video_a/00001.wav id10001/video_b/00001.wav",
        "0 id10001/video_a/00001.wav id10003/video_b/00002.wav",
    ]
    trials.write_text("\n".join(lines) + "\n")
    task = build(shared, dev_meta_data=str(trials))
    left = ["id10002", "id10004", "id10005", "id10006"]
    assert task.speakers == left
    whole = tmp_path / "whole.txt"
    whole.write_text(trials.read_text().replace("id1000", f"{shared}/dev/wav/id1000"))
    assert build(shared, dev_meta_data=str(whole)).speakers == left
    assert sorted(item.label for item in task.listed("dev")) == sorted(
        {name for line in lines for name in line.split()[1:]}
    )


def test_a_corpus_whose_speakers_are_all_for_validation_is_refused(own):
    (own / "asv_dev_speakers.txt").write_text("".join(f"id{number}\n" for number in range(10001, 10007)))
    with pytest.raises(UserError, match=r"All 6 speakers of .*/dev/wav are for validation"):
        build(own)


def test_recordings_are_heard_3_db_lower_without_silence_and_long_ones_cropped(own):
    rng = np.random.default_rng(0)
    path = own / "dev/wav/id10001/video_c/00001.wav"
    sing(path, 1, 0.5, rng)
    wave, _ = soundfile.read(path)
    soundfile.write(path, np.concatenate([np.zeros(8000), wave, np.zeros(8000)]), RATE)
    task = build(own, max_timestep=6000)
    found = {item.name: item for item in task.listed("train")}
    item = found["id10001-video_c-00001"]
    assert (item.recording.gain, item.recording.trim) == (-3.0, True)
    assert item.samples < 10000 and item.crop.seconds == 6000 / RATE
    assert all((other.crop is None) == (other.samples <= 6000) for other in found.values())
    assert all(item.recording.trim and item.crop is None for item in task.listed("test"))


def test_what_is_too_short_without_silence_is_left_out_and_read_only_once(own, capsys, monkeypatch):
    soundfile.write(own / "dev/wav/id10001/video_a/00009.wav", np.zeros(RATE), RATE)
    sing(own / "dev/wav/id10001/video_a/00010.wav", 1, 0.1, np.random.default_rng(0))
    reads, read = [], heard_lengths.read
    monkeypatch.setattr(heard_lengths, "read", lambda recording: reads.append(recording) or read(recording))
    assert len(build(own).listed("train")) == 24
    said = capsys.readouterr().err
    assert "2 of 26 training recordings are left out" in said and "2,000 samples (vad_config.min_sec)" in said
    first = len(reads)
    reads.clear()
    monkeypatch.setattr(heard_lengths, "CHECKED_ROWS", 2)
    assert len(build(own).listed("train")) == 24
    assert first >= 26 and len(reads) <= 4
    with pytest.raises(UserError, match="None of the 26 training recordings has more than 999,999"):
        build(own, vad_config={"min_sec": 999999})


def test_a_file_that_cannot_be_read_is_named_before_training(own):
    broken = own / "dev/wav/id10003/video_a/00002.wav"
    broken.write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"1 of 24 training recordings cannot be used(.|\n)*00002.wav"):
        build(own)


def test_what_cannot_be_validated_on_is_named_before_training(own, downstream, capsys):
    silent = own / "dev/wav/id10002/video_a/00001.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    assert downstream("-m", "train", *command(own), "-p", "run") == 2
    said = capsys.readouterr()
    assert f"1 of 12 dev recordings cannot be used:\n  {silent} holds only silence" in said.err
    assert "step 4" not in said.out
    assert downstream("-m", "train", *command(own), "-p", "run", "--bad_audio", "skip") == 0


def test_trials_with_missing_files_are_named_with_their_line_before_anything_is_computed(own, capsys):
    lines = (own / "voxceleb1_test_v2.txt").read_text().splitlines()
    lines.insert(4, "1 id10270/video_a/00001.wav id10270/video_z/00099.wav")
    (own / "mine.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"id10270/video_z/00099.wav \(line 5\)"):
        DownstreamExpert.check(block(own, test_meta_data=str(own / "mine.txt")), ["test"])
    (own / "mine.txt").write_text("yes a.wav b.wav\n")
    with pytest.raises(UserError, match=r"line 1: 'yes a.wav b.wav' is not"):
        DownstreamExpert.check(block(own, test_meta_data=str(own / "mine.txt")), ["test"])
    with pytest.raises(UserError, match=r"tset is not one of train, dev, test. Did you mean 'test'"):
        DownstreamExpert.check(block(own), ["tset"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agg_module": "SAP"}, "agg_module: SAP is not one of SP, MP, AP, ASP. Did you mean 'SP'"),
        ({"module_config": {"XVector": {"agg_dmi": 3}}}, "Did you mean 'agg_dim'"),
        ({"ObjectiveLoss": "AMSoftmax"}, "Did you mean 'AMSoftmaxLoss'"),
        ({"LossConfig": {"AMSoftmaxLoss": {"s": 0}}}, "LossConfig.AMSoftmaxLoss.s must be above 0"),
        ({"modul": "XVector"}, "Did you mean 'module'"),
    ],
)
def test_mistakes_in_the_model_are_told_before_it_is_built(shared, change, message):
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block(shared, change), ["train"])
    assert message in str(error.value)


def test_a_missing_corpus_is_told_with_the_way_to_a_miniature(tmp_path):
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block(tmp_path / "nowhere"), ["train", "dev"])
    assert "downstream/sv_voxceleb1/mini.yaml" in str(error.value) and "vox1.html" in str(error.value)


def test_ones_own_lists_take_the_place_of_the_corpus(shared, tmp_path):
    files = sorted((shared / "dev/wav").glob("id1000[1-3]/*/*.wav"))
    (tmp_path / "train.csv").write_text(
        "path,label\n" + "".join(f"{file},{file.parts[-3]}\n" for file in files)
    )
    (tmp_path / "test.txt").write_text(f"1 {files[0]} {files[1]}\n0 {files[0]} {files[-1]}\n")
    lists = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.txt")}
    DownstreamExpert.check(block("nowhere", lists=lists), ["train", "test"])
    task = build("nowhere", lists=lists)
    assert task.speakers == ["id10001", "id10002", "id10003"] and len(task.listed("train")) == 18
    assert {item.recording.path for item in task.listed("test")} == {str(files[i]) for i in (0, 1, -1)}


@pytest.mark.parametrize(
    "name", ["config", "mini", *(f"configs/{one.stem}" for one in FOLDER.glob("configs/*.yaml"))]
)
def test_every_shipped_config_is_complete(shared, name):
    config = load_yaml(FOLDER / f"{name}.yaml")
    config["downstream_expert"]["datarc"]["file_path"] = str(shared)
    DownstreamExpert.check(config["downstream_expert"], ["train", "dev", "test"])
    assert (
        config["runner"]["eval_dataloaders"][0] == "dev"
        and config["optimizer"]["torch_optim_name"] == "AdamW"
    )


def test_the_shipped_config_has_the_settings_of_superb():
    config = load_yaml(FOLDER / "config.yaml")
    runner, datarc = config["runner"], config["downstream_expert"]["datarc"]
    names = (
        "total_steps",
        "gradient_clipping",
        "gradient_accumulate_steps",
        "eval_step",
        "save_step",
        "max_keep",
    )
    assert [runner[name] for name in names] == [200000, 1000, 5, 10000, 10000, 20]
    assert (datarc["train_batch_size"], datarc["max_timestep"], datarc["vad_config"]["min_sec"]) == (
        10,
        128000,
        32000,
    )
    assert config["optimizer"]["lr"] == 1e-4
    assert config["downstream_expert"]["modelrc"]["LossConfig"] == {"AMSoftmaxLoss": {"s": 30.0, "m": 0.4}}


def test_a_config_of_the_public_package_is_taken_as_it_is(shared, capsys):
    lists = "./downstream/sv_voxceleb1"
    public = {
        "datarc": {
            "file_path": str(shared),
            "train_meta_data": f"{lists}/train.txt", "dev_meta_data": f"{lists}/dev.txt",
            "test_meta_data": f"{lists}/test.txt", "max_timestep": 128000, "vad_config": {"min_sec": 2000},
            "train_batch_size": 10, "eval_batch_size": 1, "num_workers": 8,
        },
        "modelrc": {
            "module": "XVector", "input_dim": 512, "agg_module": "SP", "utter_module": "UtteranceExtractor",
            "module_config": {"XVector": {"agg_dim": 1500, "dropout_p": 0.0, "batch_norm": False}},
            "ObjectiveLoss": "AMSoftmaxLoss",
            "LossConfig": {"SoftmaxLoss": {}, "AMSoftmaxLoss": {"s": 30.0, "m": 0.4}},
        },
    }  # fmt: skip
    DownstreamExpert.check(public, ["train", "dev", "test"])
    said = capsys.readouterr().err
    assert (
        "there is no list downstream/sv_voxceleb1/dev.txt" in said and "voxceleb1_test_v2.txt is used" in said
    )


def test_trials_are_scored_by_the_cosine_of_their_embeddings():
    embeddings = torch.nn.functional.normalize(torch.randn(5, 7), dim=-1)
    enrol, test = [0, 3, 4] * 3000, [1, 3, 2] * 3000
    expected = [
        float(embeddings[one] @ embeddings[two]) for one, two in zip(enrol[:3], test[:3], strict=True)
    ]
    assert np.allclose(cosine_scores(embeddings, enrol, test), expected * 3000, atol=1e-6)


def test_a_short_training_lowers_the_eer(shared, downstream):
    arguments = command(shared, 40, train_on_dev_speakers=True)
    assert downstream("-m", "evaluate", "-t", "dev", *arguments, "-p", "untrained") == 0
    assert downstream("-m", "train", *arguments, "-p", "run") == 0
    logged = metrics(Path("run"))
    before = load_yaml("untrained/result-dev.json")["metrics"]["EER"]
    after = logged[-1]["EER"]
    assert after < 0.15 < 0.25 < before
    assert set(logged[-1]) == {"step", "split", "EER", "minDCF"} and "loss" in logged[0]
    assert Path("run/dev-best.ckpt").is_file()
    assert Path("run/log.log").read_text().endswith(f"New best on dev at step 40: {after}\n")
    assert Path("run/labels.txt").read_text().split() == [f"id{number}" for number in range(10001, 10007)]


def test_scores_are_written_by_trial(shared, downstream, capsys):
    assert downstream("-m", "train", *command(shared), "-p", "run") == 0
    assert downstream("-m", "evaluate", "-t", "test", "-e", "run/dev-best.ckpt") == 0
    predicted = [line.split() for line in Path("run/test_predict.txt").read_text().splitlines()]
    truth = [line.split() for line in Path("run/test_truth.txt").read_text().splitlines()]
    trials = [line.split() for line in (shared / "voxceleb1_test_v2.txt").read_text().splitlines()]
    pairs = ["_".join(name[:-4].replace("/", "-") for name in names) for _, *names in trials]
    assert [pair for pair, _ in predicted] == [pair for pair, _ in truth] == pairs
    assert [label for _, label in truth] == [label for label, *_ in trials]
    eer, _ = equal_error_rate([float(one) for _, one in predicted], [int(one) for _, one in truth])
    assert f"sv-voxceleb1/test-EER: {eer}\n" in capsys.readouterr().out


def test_several_learning_rates_are_trained_in_one_pass(shared, downstream):
    assert downstream("-m", "train", *command(shared, 2), "-p", "sweep", "--sweep_lr", "1e-3,1e-4") == 0
    for rate in ("1e-3", "1e-4"):
        assert {"EER", "minDCF"} < set(metrics(Path(f"sweep/lr{rate}"))[-1])


class Killed(Exception):
    """Stands for the end of the process."""


def test_a_killed_evaluation_goes_on_without_computing_an_embedding_twice(shared, downstream, monkeypatch):
    assert downstream("-m", "train", *command(shared), "-p", "run") == 0
    computed, forward, most = [], DownstreamExpert.forward, 100

    def counted(self, split, features, targets, items, records, **kwargs):
        if len(computed) >= most:
            raise Killed
        computed.extend(item.label for item in items)
        return forward(self, split, features, targets, items, records, **kwargs)

    monkeypatch.setattr(DownstreamExpert, "forward", counted)
    evaluate = ["-m", "evaluate", "-t", "test", "-e", "run/states-4.ckpt", "-p"]
    assert downstream(*evaluate, "whole") == 0
    every, most = list(computed), 8
    computed.clear()
    with pytest.raises(Killed):
        downstream(*evaluate, "killed")
    assert computed == every[:8] and Path("killed/partial").is_dir()
    most = 100
    assert downstream(*evaluate, "killed") == 0
    assert computed == every and len(every) == len(set(every)) == 18
    for name in ("test_predict.txt", "test_truth.txt"):
        assert Path("killed", name).read_text() == Path("whole", name).read_text()
    results = [load_yaml(f"{folder}/result-test.json")["metrics"] for folder in ("whole", "killed")]
    assert results[0] == results[1] and not Path("killed/partial").exists()


def test_an_upstream_whose_output_is_random_is_evaluated_without_partial_results(shared, downstream, capsys):
    dithered = load_yaml(ROOT / "upstream/baseline/fbank.yaml")
    dithered["kaldi"]["fbank"]["dither"] = 1.0
    Path("dithered.yaml").write_text(yaml.safe_dump(dithered))
    evaluate = [
        "-m",
        "evaluate",
        "-t",
        "test",
        *command(shared),
        "-u",
        "baseline_local",
        "-g",
        "dithered.yaml",
    ]
    assert downstream(*evaluate, "-p", "run") == 0
    reason = "the upstream gives the same wave other features each time"
    assert f"Partial results are not kept: {reason}\n" in capsys.readouterr().out
    assert "EER" in load_yaml("run/result-test.json")["metrics"]
    assert downstream(*evaluate, "-p", "cached", "--cache", "features") == 2
    assert f"--cache: {reason}, so none can be kept. Leave --cache out." in capsys.readouterr().err


def test_trials_of_recordings_that_are_skipped_are_left_out_and_counted(own, downstream, capsys):
    assert downstream("-m", "train", *command(own), "-p", "run") == 0
    soundfile.write(own / "test/wav/id10270/video_a/00001.wav", np.zeros(RATE), RATE)
    evaluate = ["-m", "evaluate", "-t", "test", "-e", "run/states-4.ckpt"]
    assert downstream(*evaluate) == 2
    assert "holds only silence" in capsys.readouterr().err
    assert downstream(*evaluate, "--bad_audio", "skip") == 0
    assert "of 54 trials are left out" in capsys.readouterr().err
