"""ark2libri.py, ark2timit.py, ark2voxceleb.py, timit2ark.py: features from and for Kaldi."""

import gzip
import os
import pickle
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch

from s3prl.preprocess import ark2libri, ark2timit, ark2voxceleb, timit2ark
from s3prl.upstream.features.delta import add_deltas
from s3prl.utility.lengths import read_table, write_table


def features(names: list[str], dim: int = 4) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3)
    return {name: draw.normal(2, 3, (5 + n, dim)).astype(np.float32) for n, name in enumerate(names)}


def archive(folder: Path, matrices: dict[str, np.ndarray], name: str = "feats", **options) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kaldiio.save_ark(str(folder / f"{name}.ark"), matrices, scp=str(folder / f"{name}.scp"), **options)
    return folder


def test_librispeech_becomes_folders_with_the_names_of_its_sets(workdir, capsys):
    matrices = features(["103-1240-0000", "103-1240-0001"])
    archive(workdir / "s5/train_clean_100", matrices)
    archive(workdir / "s5/dev_clean", matrices)
    assert ark2libri.main(["--data_path", "s5", "--sets", "train_clean_100"]) == 0
    folder = workdir / "data/libri_kaldi"
    assert read_table(folder / "train-clean-100.csv") == {
        "train-clean-100/103-1240-0001.npy": 6, "train-clean-100/103-1240-0000.npy": 5
    }  # fmt: skip
    for name, matrix in matrices.items():
        assert np.array_equal(np.load(folder / f"train-clean-100/{name}.npy"), matrix)
    assert ark2libri.main(["--data_path", "s5"]) == 0
    said = capsys.readouterr().out
    assert "dev-clean.csv: 2 utterances, 4 dimensions (2 new)" in said
    assert "train-clean-100.csv: 2 utterances, 4 dimensions (0 new)" in said


@pytest.mark.parametrize(
    "options",
    [{"compression_method": 2}, {"compression_method": 3}, {"compression_method": 5}, {"text": True}],
)
def test_compressed_archives_and_those_of_text_are_read(workdir, options):
    matrices = features(["a", "b"])
    archive(workdir / "s5/train", matrices, "raw.1", **options)
    (workdir / "s5/train/raw.1.scp").unlink()
    archive(workdir / "s5/train", features(["c"]), "raw.2")
    (workdir / "s5/train/raw.2.scp").unlink()
    assert ark2timit.main(["--data_path", "s5"]) == 0
    assert len(read_table(workdir / "data/timit_kaldi/train.csv")) == 3
    found = np.load(workdir / "data/timit_kaldi/train/b.npy")
    assert np.abs(found - matrices["b"]).max() < 0.1


def test_a_list_that_was_moved_finds_its_archives(workdir):
    matrices = features(["a"])
    archive(workdir / "s5/data/train", matrices)
    (workdir / "s5/fbank").mkdir()
    (workdir / "s5/data/train/feats.ark").rename(workdir / "s5/fbank/raw.ark")
    (workdir / "s5/data/train/feats.scp").write_text("a fbank/raw.ark:2\n")
    assert ark2timit.main(["--data_path", "s5/data"]) == 0
    assert np.array_equal(np.load(workdir / "data/timit_kaldi/train/a.npy"), matrices["a"])


def test_deltas_and_statistics_of_the_speaker(workdir):
    matrices = features(["F1_a", "F1_b", "M1_a"])
    folder = archive(workdir / "s5/train", matrices)
    said = {"F1": ["F1_a", "F1_b"], "M1": ["M1_a"]}
    statistics, expected = {}, {}
    for speaker, names in said.items():
        rows = np.concatenate([matrices[name] for name in names]).astype(np.float64)
        sums = np.stack([rows.sum(0), (rows**2).sum(0)])
        statistics[speaker] = np.concatenate([sums, [[len(rows)], [0]]], axis=1)
        expected |= {name: (matrices[name] - rows.mean(0)) / rows.std(0) for name in names}
    archive(folder, statistics, "cmvn")
    (folder / "utt2spk").write_text("".join(f"{u} {s}\n" for s, us in said.items() for u in us))
    options = ["--data_path", "s5", "--apply_cmvn=speaker", "--delta=True", "--delta_delta=True"]
    assert ark2timit.main(options) == 0
    for name, matrix in expected.items():
        found = np.load(workdir / f"data/timit_kaldi/train/{name}.npy")
        wanted = add_deltas(torch.from_numpy(matrix)[None], [len(matrix)], 2, 5)[0]
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_each_speaker_of_voxceleb_has_a_folder(workdir):
    archive(workdir / "s5/voxceleb1_train", features(["id10001-1zcIwhmdeo4-00001"]))
    assert ark2voxceleb.main(["--data_path", "s5", "--apply_cmvn", "utterance"]) == 0
    path = workdir / "data/voxceleb_kaldi/voxceleb1_train/id10001/id10001-1zcIwhmdeo4-00001.npy"
    found = np.load(path)
    np.testing.assert_allclose([found.mean(0), found.std(0, ddof=1)], [[0] * 4, [1] * 4], atol=1e-5)


def test_what_is_cut_off_or_no_matrix_is_told_at_the_end(workdir, capsys):
    folder = archive(workdir / "s5/train", features(["a", "b", "c", "d"]))
    lines = (folder / "feats.scp").read_text().splitlines()
    lines[1] = lines[1][: lines[1].rindex(":")] + ":3"
    lines.append(f"e {folder}/gone.ark:2")
    (folder / "feats.scp").write_text("\n".join(lines) + "\n")
    whole = (folder / "feats.ark").read_bytes()
    (folder / "feats.ark").write_bytes(whole[:-7])
    assert ark2timit.main(["--data_path", "s5"]) == 1
    error = capsys.readouterr().err
    assert "train/b: " in error and "this is no matrix of Kaldi" in error
    assert "train/d: " in error and "damaged or cut off" in error
    assert "gone.ark: No such file" in error and "error: 3 entries of archives" in error
    assert {Path(name).stem for name in read_table(workdir / "data/timit_kaldi/train.csv")} == {"a", "c"}

    (folder / "feats.scp").unlink()
    (folder / "feats.ark").write_bytes(whole)
    assert ark2timit.main(["--data_path", "s5"]) == 0
    assert len(read_table(workdir / "data/timit_kaldi/train.csv")) == 4


class Harmful:
    """Unpickling it makes a file."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_neither_pickles_nor_commands_of_a_list_are_run(workdir, capsys):
    folder = workdir / "s5/train"
    folder.mkdir(parents=True)
    (folder / "feats.ark").write_bytes(b"a PKL" + pickle.dumps(Harmful()))
    assert ark2timit.main(["--data_path", "s5"]) == 1
    assert "this is no matrix of Kaldi" in capsys.readouterr().err
    for place in ("mkdir unpickled |", "| mkdir unpickled", "-"):
        (folder / "feats.scp").write_text(f"a {place}\n")
        assert ark2timit.main(["--data_path", "s5"]) == 2
        error = capsys.readouterr().err
        assert "feats.scp, line 1" in error and "is a command, which is not run" in error
    assert not (workdir / "unpickled").exists()


def test_a_name_in_an_archive_does_not_lead_out_of_the_folder(workdir, capsys):
    archive(workdir / "s5/train", features(["../../../escaped"]))
    assert ark2timit.main(["--data_path", "s5"]) == 2
    assert "leads out of data/timit_kaldi" in capsys.readouterr().err
    assert not list(workdir.rglob("escaped*"))


def test_archives_of_different_features_are_refused(workdir, capsys):
    folder = archive(workdir / "s5/train", features(["a"]), "one")
    archive(folder, features(["b"], dim=5), "two")
    assert ark2timit.main(["--data_path", "s5"]) == 2
    assert "train/b has 5 dimensions, others have 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data_path", "nowhere"], "nowhere has no Kaldi archives"),
        (["--data_path", "s5", "--sets", "dev"], "s5 has no set dev"),
        (["--data_path", "s5", "--apply_cmvn", "speaker"], "needs s5/train/cmvn.scp"),
        (["--data_path", "s5", "--delta_delta"], "add --delta=True"),
    ],
)
def test_a_mistake_is_one_message(workdir, capsys, options, message):
    archive(workdir / "s5/train", features(["a"]))
    assert ark2timit.main(options) == 2
    assert message in capsys.readouterr().err


def test_features_of_timit_go_to_kaldi_and_back(workdir, capsys, monkeypatch):
    matrices = features(["DR1-FCJF0-SI648", "DR1-FCJF0-SA1", "DR2-MABC0-SX7"])
    folder = workdir / "timit_fbank4"
    (folder / "TRAIN").mkdir(parents=True)
    for name, matrix in matrices.items():
        np.save(folder / f"TRAIN/{name}.npy", matrix)
    write_table(folder / "TRAIN.csv", {f"TRAIN/{name}.npy": len(one) for name, one in matrices.items()})
    assert timit2ark.main(["--data_path", "timit_fbank4"]) == 0
    ark = workdir / "timit_fbank4_ark/TRAIN"
    assert (ark / "spk2utt").read_text() == "FCJF0 FCJF0_SA1 FCJF0_SI648\nMABC0 MABC0_SX7\n"
    assert (ark / "utt2spk").read_text().splitlines()[0] == "FCJF0_SA1 FCJF0"
    listed = kaldiio.load_scp(str(ark / "feats.scp"))
    assert list(listed) == ["FCJF0_SA1", "FCJF0_SI648", "MABC0_SX7"]
    assert np.array_equal(listed["FCJF0_SI648"], matrices["DR1-FCJF0-SI648"])
    assert ark2timit.main(["--data_path", "timit_fbank4_ark"]) == 0
    monkeypatch.chdir(folder)
    assert timit2ark.main(["--data_path", ".", "--sets", "TRAIN"]) == 0
    assert "timit_fbank4_ark/TRAIN/feats.scp: 3 utterances" in capsys.readouterr().out.splitlines()[-1]
    found = np.load(workdir / "data/timit_kaldi/TRAIN/MABC0_SX7.npy")
    assert np.array_equal(found, matrices["DR2-MABC0-SX7"])


def test_numbers_as_text_keep_their_fractions_behind_a_whole_one(workdir):
    (workdir / "s5/train").mkdir(parents=True)
    text = "a  [\n  2 1.5 -0.25\n  0 3e-05 7 ]\nb  [\n  1 2 3 ]\n"
    (workdir / "s5/train/feats.ark").write_text(text)
    assert ark2timit.main(["--data_path", "s5"]) == 0
    found = np.load(workdir / "data/timit_kaldi/train/a.npy")
    assert np.array_equal(found, np.array([[2, 1.5, -0.25], [0, 3e-5, 7]], np.float32))
    assert np.load(workdir / "data/timit_kaldi/train/b.npy").shape == (1, 3)


def test_archives_packed_by_gzip_and_lists_with_tabs_are_read(workdir, capsys):
    matrices = features(["a", "b"])
    folder = archive(workdir / "s5/train", matrices)
    listed = (folder / "feats.scp").read_text()
    (folder / "feats.scp").write_text(listed.replace(" ", "\t"))
    assert ark2timit.main(["--data_path", "s5", "--name", "tabs"]) == 0

    whole = gzip.compress((folder / "feats.ark").read_bytes())
    (folder / "feats.ark").unlink()
    (folder / "feats.ark.gz").write_bytes(whole)
    (folder / "feats.scp").write_text(listed.replace(".ark:", ".ark.gz:"))
    assert ark2timit.main(["--data_path", "s5", "--name", "places"]) == 0
    (folder / "feats.scp").unlink()
    assert ark2timit.main(["--data_path", "s5", "--name", "packed"]) == 0
    for name in ("tabs", "places", "packed"):
        assert np.array_equal(np.load(workdir / f"data/{name}/train/b.npy"), matrices["b"])

    (folder / "feats.ark.gz").write_bytes(whole[:-40])
    capsys.readouterr()
    assert ark2timit.main(["--data_path", "s5", "--name", "cut"]) == 1
    assert "feats.ark.gz is damaged or cut off" in capsys.readouterr().err
    (folder / "feats.ark.gz").rename(folder.with_name("dev.ark.gz"))
    folder.rmdir()
    folder.with_name("dev.ark.gz").write_bytes(whole)
    assert ark2timit.main(["--data_path", "s5", "--name", "beside"]) == 0
    assert len(read_table(workdir / "data/beside/dev.csv")) == 2


def test_an_utterance_in_two_archives_is_told(workdir, capsys):
    matrices = features(["a", "b"])
    folder = archive(workdir / "s5/train", matrices, "one")
    archive(folder, features(["b", "c"]), "two")
    for _ in range(2):
        assert ark2timit.main(["--data_path", "s5"]) == 1
        assert "train/b: s5/train/two.scp has it a second time" in capsys.readouterr().err
        assert len(read_table(workdir / "data/timit_kaldi/train.csv")) == 3
        assert np.array_equal(np.load(workdir / "data/timit_kaldi/train/b.npy"), matrices["b"])


def test_features_of_another_source_are_not_taken_for_those_that_are_there(workdir, capsys):
    for place in ("tri3", "tri4"):
        archive(workdir / place / "train_clean_100", features(["a"]))
    assert ark2libri.main(["--data_path", "tri3"]) == 0
    assert ark2libri.main(["--data_path", "tri4"]) == 2
    assert "was made from" in capsys.readouterr().err


def test_a_list_that_is_no_text_is_one_message(workdir, capsys):
    folder = archive(workdir / "s5/train", features(["a"]))
    (folder / "feats.scp").write_bytes(b"a \xff\xfe")
    assert ark2timit.main(["--data_path", "s5"]) == 2
    assert "feats.scp is no list of places in archives" in capsys.readouterr().err


def test_two_sets_that_would_have_one_name_are_refused(workdir, capsys):
    for name in ("dev_clean", "dev-clean"):
        archive(workdir / "s5" / name, features(["a"]))
    assert ark2libri.main(["--data_path", "s5"]) == 2
    assert "would have one name" in capsys.readouterr().err
    assert ark2libri.main(["--data_path", "s5", "--sets", "dev_clean"]) == 0
