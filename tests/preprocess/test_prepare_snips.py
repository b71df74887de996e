"""Preparing Audio SNIPS, from the annotations and the .mp3 files to what slot filling reads."""

import functools
import http.server
import io
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT

from s3prl.downstream.common.corpora import snips as reader
from s3prl.preprocess import prepare_snips
from s3prl.preprocess.snips_text import normalized
from s3prl.utility.snips import SPEAKERS, spoken, tagged

ROWS = {
    "train": (
        "u_id\tintent\ttext\tiob\n"
        "snips-train-0\tPlayMusic\tplay 80s songs by the beatles\tO B-year B-music_item O B-artist I-artist\n"
        "snips-train-1\tBookRestaurant\ttable for 2 on jan 4th !\tO O B-size O B-date I-date O\n"
    ),
    "valid": "u_id\tintent\ttext\tiob\nsnips-valid-0\tPlayMusic\tplay b\u00e9la r&b\tO B-artist B-genre\n",
    "test": "u_id\tintent\ttext\tiob\nsnips-test-0\tGetWeather\tis it 8:30 pm\tO O B-date I-date\n",
}


@functools.cache
def mp3():
    """The bytes of half a second of a tone at 22.05 kHz."""
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * 440 * np.arange(11025) / 22050), 22050, format="MP3")
    return file.getvalue()


def make_source(folder):
    """The published layout below a folder: every sentence of a split by each of its speakers."""
    tables = folder / "annotated" / "data" / "nlu_annotation"
    tables.mkdir(parents=True)
    for split, text in ROWS.items():
        (tables / split).write_text(text, encoding="utf-8")
        for speaker in SPEAKERS[split]:
            home = folder / "audio_slu_v3" / f"audio_{speaker}" / "snips"
            home.mkdir(parents=True, exist_ok=True)
            for line in text.splitlines()[1:]:
                (home / f"{line.split()[0]}.mp3").write_bytes(mp3())
    return folder


def zipped(folder):
    """The recordings as the archive that is published."""
    with zipfile.ZipFile(folder / "audio_slu_v3.zip", "w") as archive:
        for path in sorted((folder / "audio_slu_v3").rglob("*.mp3")):
            archive.write(path, path.relative_to(folder))
    return folder / "audio_slu_v3.zip"


@pytest.fixture
def source(tmp_path):
    return make_source(tmp_path / "corpora")


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_layout_of_the_task_is_made_of_the_published_one(source, capsys):
    assert prepare_snips.main([str(source), "--n_jobs", "1"]) == 0
    corpus = source / "SNIPS"
    lines = (corpus / "all.iob.snips.txt").read_text().splitlines()
    assert len(lines) == 2 * 8 + 4 + 4
    assert lines[0] == (
        "Ivy-snips-train-0 BOS PLAY EIGHTIES SONGS BY THE BEATLES EOS\t"
        "O O year music_item O artist artist PlayMusic"
    )
    assert lines[1] == (
        "Ivy-snips-train-1 BOS TABLE FOR TWO ON JANUARY FOURTH EOS\tO O O size O date date BookRestaurant"
    )
    assert "Nicole-snips-valid-0 BOS PLAY BELA R AND B EOS\tO O artist genre genre genre PlayMusic" in lines
    assert lines[-1] == "Russell-snips-test-0 BOS IS IT EIGHT THIRTY PM EOS\tO O O date date date GetWeather"
    assert (corpus / "all-trans.txt").read_text().splitlines()[
        -1
    ] == "Russell-snips-test-0 IS IT EIGHT THIRTY PM"
    slots = (corpus / "slots.txt").read_text().split()
    assert slots == ["O", "date", "artist", "genre", "music_item", "size", "year"]
    for split, speakers in SPEAKERS.items():
        waves = sorted(path.name for path in (corpus / split).iterdir())
        sentences = range(len(ROWS[split].splitlines()) - 1)
        assert waves == sorted(f"{name}-snips-{split}-{n}.wav" for name in speakers for n in sentences)
    info = soundfile.info(corpus / "test" / "Emma-snips-test-0.wav")
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, "PCM_16", 8000)
    said = capsys.readouterr()
    assert "note: 2 train sentences; the benchmark has 13084." in said.err
    assert f"{corpus / 'train'}: 16 recordings" in said.out
    items = reader.items(corpus, ["train"], SPEAKERS["train"], pytest.fail)
    assert len(items) == 16
    assert items[0].label == (
        "PLAY B-year EIGHTIES E-year B-music_item SONGS E-music_item BY B-artist THE BEATLES E-artist"
    )


def test_an_archive_gives_the_same_files_and_a_second_run_makes_only_what_is_missing(
    source, tmp_path, monkeypatch
):
    monkeypatch.setattr(prepare_snips, "TOGETHER", 14)  # so that there is work for two processes
    assert prepare_snips.main([str(source), "--n_jobs", "1"]) == 0
    options = ["--annotations", str(source / "annotated"), "--audio", str(zipped(source)), "--n_jobs", "2"]
    other = tmp_path / "other"
    assert prepare_snips.main([str(tmp_path), "--output", str(other), *options]) == 0
    assert files_of(other) == files_of(source / "SNIPS")
    lost, cut = other / "train" / "Ivy-snips-train-0.wav", other / "test" / "Brian-snips-test-0.wav"
    kept = (other / "valid" / "Amy-snips-valid-0.wav").stat().st_mtime_ns
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:40])
    assert prepare_snips.main([str(tmp_path), "--output", str(other), *options]) == 0
    assert files_of(other) == files_of(source / "SNIPS")
    assert (other / "valid" / "Amy-snips-valid-0.wav").stat().st_mtime_ns == kept


def test_damaged_and_missing_recordings_are_named_at_the_end_and_the_rest_is_made(source, capsys):
    audio = source / "audio_slu_v3"
    damaged = audio / "audio_Ivy" / "snips" / "snips-train-0.mp3"
    damaged.write_bytes(damaged.read_bytes()[:100])
    (audio / "audio_Emma" / "snips" / "snips-test-0.mp3").unlink()
    assert prepare_snips.main([str(source), "--n_jobs", "1"]) == 1
    said = capsys.readouterr().err
    assert str(damaged) in said and "Emma-snips-test-0: there is no recording of it" in said
    assert "error: 2 recordings could not be made" in said and "makes only what is missing" in said
    assert len(list((source / "SNIPS" / "train").iterdir())) == 15
    damaged.write_bytes(mp3())
    (audio / "audio_Emma" / "snips" / "snips-test-0.mp3").write_bytes(mp3())
    assert prepare_snips.main([str(source), "--n_jobs", "1"]) == 0


def test_a_damaged_recording_of_an_archive_is_named(source, capsys):
    archive = zipped(source)
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        first = opened.infolist()[0]
    content[first.header_offset + 200] ^= 0xFF
    archive.write_bytes(content)
    options = ["--annotations", str(source / "annotated"), "--audio", str(archive), "--n_jobs", "1"]
    assert prepare_snips.main([str(source), *options]) == 1
    assert f"{first.filename} of {archive} is damaged" in capsys.readouterr().err


def test_the_archive_may_be_a_url(source, tmp_path):
    zipped(source)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(source))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/audio_slu_v3.zip"
        options = ["--annotations", str(source / "annotated"), "--audio", url, "--n_jobs", "1"]
        assert prepare_snips.main([str(tmp_path / "new"), *options]) == 0
    finally:
        server.shutdown()
        server.server_close()
    assert (tmp_path / "new" / "audio_slu_v3.zip").is_file()
    assert len(list((tmp_path / "new" / "SNIPS").glob("*/*.wav"))) == 24


def test_what_is_missing_is_said_with_the_option_that_names_it(tmp_path, source, capsys):
    def error(*arguments):
        assert prepare_snips.main([str(one) for one in arguments]) == 2
        return capsys.readouterr().err

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "--annotations is needed" in error(empty)
    assert f"--audio {empty / 'a.zip'} does not exist" in error(source, "--audio", empty / "a.zip")
    (empty / "a.zip").write_bytes(b"PK half an archive")
    assert "neither a folder nor a complete zip archive" in error(source, "--audio", empty / "a.zip")
    table = source / "annotated" / "data" / "nlu_annotation" / "test"
    table.write_text(ROWS["test"].replace("B-date I-date", "B-date"))
    assert "line 2 (snips-test-0) has 4 words and 3 tags" in error(source)
    table.write_text(ROWS["test"].replace("B-date I-date", "date date"))
    assert "needs one column with O, B-slot or I-slot" in error(source)
    table.unlink()
    assert "has no table nlu_annotation/test" in error(source)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("book for 2 at 8:30 pm", "BOOK FOR TWO AT EIGHT THIRTY PM"),
        ("at 9:00 or 7:05", "AT NINE OR SEVEN OH FIVE"),
        ("music of 1984 and the 60s", "MUSIC OF NINETEEN EIGHTY FOUR AND THE SIXTIES"),
        ("the 1990s , 2pac & u2", "THE NINETEEN NINETIES TWO PAC AND U TWO"),
        ("$5.50 , 4.5 or 50% ?", "FIVE POINT FIVE DOLLARS FOUR POINT FIVE OR FIFTY PERCENT"),
        ("sept 21st -  1,000 miles", "SEPTEMBER TWENTY FIRST ONE THOUSAND MILES"),
        ("it's the king 's o\u2019hara", "IT'S THE KING 'S O'HARA"),
        ('mr. \u00d3lafur x-men "hits" \u2026', "MISTER OLAFUR X MEN HITS"),
        ("vol. 3 on 12/25", "VOLUME THREE ON TWELVE TWENTY FIVE"),
    ],
)
def test_sentences_are_written_in_letters_as_they_are_said(written, said):
    words = normalized((word, "O") for word in written.split())
    assert " ".join(word for word, _ in words) == said


def test_what_becomes_of_a_word_keeps_its_tag():
    words = [("at", "O"), ("8:30", "time"), ("in", "O"), ("?", "O"), ("new", "city"), ("york", "city")]
    assert tagged(normalized(words)) == "AT B-time EIGHT THIRTY E-time IN B-city NEW YORK E-city"
    assert tagged(spoken([("A", "x"), ("&", "x"), ("B", "y"), (";", "y")])) == "B-x A AND E-x B-y B E-y"


def test_the_shell_script_of_the_benchmark_calls_it():
    script = ROOT / "preprocess" / "snips_prepare_data.sh"
    done = subprocess.run(
        [str(script), "--help"],
        capture_output=True,
        text=True,
        env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0 and "--annotations" in done.stdout and Path(script).stat().st_mode & 0o100
