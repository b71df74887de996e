"""Trials of speaker verification: lists given, found, downloaded or made, and the recordings of a corpus."""

import os
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from voices import make_strangers

from s3prl.downstream.common.corpora import folder_table
from s3prl.downstream.common.corpora import voxceleb1_trials as corpus
from s3prl.downstream.common.corpora.voxceleb1 import check_root
from s3prl.downstream.common.corpora.voxceleb1_trials import Trial, check_trials, dev_trials, read_trials
from s3prl.utility.errors import UserError

LINES = "1 id1/a/1.wav id1/b/1.wav\n\n0 id1/a/1.wav id2/c/1.wav\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("S3PRL_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def folder(tmp_path):
    """dev/wav with empty files, all of them older than the clock's tick."""
    folder = tmp_path / "dev" / "wav"
    for name in ("id2/c/1.wav", "id1/b/1.wav", "id1/a/2.wav", "id1/a/1.wav", "id1/a/.1.wav", "id1/a/1.txt"):
        add(folder, name)
    return folder


def add(folder, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
    age(folder)


def age(folder):
    """As if nothing had happened for an hour; later changes are later than earlier ones."""
    stamp = time.time() - 3600
    for place, _, _ in os.walk(folder):
        if Path(place).stat().st_mtime > stamp:
            os.utime(place, (stamp, stamp))


@pytest.fixture
def walks(monkeypatch):
    """The folders that are walked through."""
    found, walk = [], folder_table._walk
    monkeypatch.setattr(folder_table, "_walk", lambda folder: found.append(folder) or walk(folder))
    return found


class Handler(SimpleHTTPRequestHandler):
    def log_request(self, *args):
        self.server.asked.append(self.path)


@pytest.fixture
def site(tmp_path):
    """A server in place of OpenSLR's, for the files of the folder `site`."""
    (tmp_path / "site").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "site"))
    server.asked, server.url = [], f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def write(path, text):
    path.write_text(text)
    return path


def test_a_list_is_read_in_its_order_with_the_numbers_of_its_lines(tmp_path):
    trials = read_trials(write(tmp_path / "trials.txt", LINES))
    assert trials == [
        Trial(True, "id1/a/1.wav", "id1/b/1.wav", 1),
        Trial(False, "id1/a/1.wav", "id2/c/1.wav", 3),
    ]
    assert corpus.names_in(trials) == ["id1/a/1.wav", "id1/b/1.wav", "id2/c/1.wav"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINES + "2 a b\n", r"trials\.txt, line 4: '2 a b' is not `<1\|0> <recording> <recording>`"),
        (LINES + "1 a\n", r"line 4: '1 a' is not"),
        ("<html>\n", r"line 1: '<html>' is not"),
        ("1 a b\n", r"no nontarget trials \(0\)"),
        ("0 a b\n", r"no target trials \(1\)"),
        ("", r"no target trials \(1\)"),
    ],
)
def test_mistakes_in_a_list_are_named_with_their_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_trials(write(tmp_path / "trials.txt", text))


def test_a_list_that_was_saved_by_a_windows_editor_is_read(tmp_path):
    (tmp_path / "trials.txt").write_text(LINES, "utf-8-sig", newline="\r\n")
    assert read_trials(tmp_path / "trials.txt") == read_trials(write(tmp_path / "plain.txt", LINES))


def test_a_list_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match=r"There is no list of trials .*nowhere\.txt"):
        read_trials(tmp_path / "nowhere.txt")


def test_recordings_that_are_missing_are_named_with_the_first_line_that_needs_them(folder, tmp_path):
    path = write(tmp_path / "trials.txt", LINES + "0 id1/b/1.wav id7/x/1.wav\n1 id7/x/1.wav id1/b/9.wav\n")
    with pytest.raises(UserError) as error:
        check_trials(read_trials(path), folder, path)
    assert str(error.value).startswith(
        f"2 of the 5 recordings in the trials of {path} are not in {folder}: id7/x/1.wav (line 4), "
        "id1/b/9.wav (line 5). Are all archives"
    )
    check_trials(read_trials(write(path, LINES)), folder, path)


def test_the_list_is_the_one_given_or_that_of_the_corpus(tmp_path):
    told = []
    other = write(tmp_path / "veri_test2.txt", LINES)
    assert corpus.find_trials(None, tmp_path, told.append) == other
    assert f"those of {other}, not SUPERB's" in told.pop()
    usual = write(tmp_path / "voxceleb1_test_v2.txt", LINES)
    assert corpus.find_trials(None, tmp_path, told.append) == usual
    given = write(tmp_path / "mine.txt", LINES)
    assert corpus.find_trials(given, tmp_path, told.append) == given and not told
    assert corpus.find_trials(tmp_path / "gone.txt", tmp_path, told.append) == usual
    assert told == [f"there is no list {tmp_path / 'gone.txt'}; that of {usual} is used"]


def test_without_a_list_that_of_superb_is_downloaded_once(tmp_path, monkeypatch, site):
    write(tmp_path / "site" / "trials.txt", LINES)
    monkeypatch.setattr(corpus, "TEST_LIST_URLS", (f"{site.url}/gone.txt", f"{site.url}/trials.txt"))
    path = corpus.find_trials(None, tmp_path, print)
    assert len(read_trials(path)) == 2 and corpus.find_trials(None, tmp_path, print) == path
    assert site.asked == ["/gone.txt", "/trials.txt"]


def test_offline_the_message_says_where_to_put_the_list(tmp_path, monkeypatch):
    monkeypatch.setenv("S3PRL_OFFLINE", "1")
    with pytest.raises(UserError) as error:
        corpus.find_trials(None, tmp_path, print)
    for part in (
        "test trials of VoxCeleb1",
        "S3PRL_OFFLINE",
        f"save it as {tmp_path / 'voxceleb1_test_v2.txt'}",
    ):
        assert part in str(error.value)
    assert "downstream_expert.datarc.test_meta_data" in str(error.value)


def test_recordings_are_found_by_speaker_in_the_order_of_their_names(folder):
    assert list(corpus.recordings_by_speaker(folder).items()) == [
        ("id1", ["id1/a/1.wav", "id1/a/2.wav", "id1/b/1.wav"]),
        ("id2", ["id2/c/1.wav"]),
    ]


def test_a_corpus_is_walked_through_once_and_again_after_any_change(folder, walks):
    for _ in range(2):
        assert len(corpus.recordings_by_speaker(folder)["id1"]) == 3 and len(walks) == 1
    (folder / "id1/a/3.wav").touch()  # the folder is a moment old: believed, but not kept
    for expected in (2, 3):
        assert len(corpus.recordings_by_speaker(folder)["id1"]) == 4 and len(walks) == expected
    (folder / "id1/b/1.wav").unlink()
    (folder / "id3/d").mkdir(parents=True)
    assert list(corpus.recordings_by_speaker(folder)) == ["id1", "id2"] and len(walks) == 4


def test_a_damaged_table_is_made_anew(folder, walks, tmp_path):
    expected = corpus.recordings_by_speaker(folder)
    (table,) = (tmp_path / "torch").rglob("folders/*.json")
    for damage in ("", "[]", '{"folders": {}}', '{"folders": {"gone": 1}, "files": []}'):
        table.write_text(damage)
        assert corpus.recordings_by_speaker(folder) == expected
    assert len(walks) == 5


def test_a_folder_without_recordings_is_named(tmp_path):
    with pytest.raises(UserError, match=r"dev/wav has no recordings <speaker>/<video>/<number>\.wav"):
        corpus.recordings_by_speaker(tmp_path / "dev" / "wav")
    with pytest.raises(
        UserError, match=r"no folder dev/wav and test/wav; it holds: nothing.*sv_voxceleb1/mini"
    ):
        check_root(tmp_path, "sv_voxceleb1", ("dev", "test"))


def test_the_speakers_for_validation_are_those_of_superb_unless_the_corpus_names_its_own(tmp_path):
    speakers = corpus.dev_speakers(tmp_path)
    assert len(set(speakers)) == 40 and speakers == sorted(speakers) and speakers[0] == "id10008"
    assert not {f"id{number}" for number in range(10270, 10310)} & set(speakers)  # nobody of test/wav
    for name in ("id10001", "id10003"):
        (tmp_path / "dev/wav" / name).mkdir(parents=True)
    for text in ("id10003\nid10001\n", "\ufeffid10003\r\nid10001\r\n"):
        write(tmp_path / "asv_dev_speakers.txt", text)
        assert corpus.dev_speakers(tmp_path) == ["id10001", "id10003"]
    write(tmp_path / "asv_dev_speakers.txt", "id10003\nid1001\n")  # who would be trained on otherwise
    with pytest.raises(UserError, match=r"asv_dev_speakers\.txt names id1001, who is not in .*dev/wav"):
        corpus.dev_speakers(tmp_path)
    write(tmp_path / "asv_dev_speakers.txt", "")
    with pytest.raises(UserError, match=r"asv_dev_speakers\.txt is empty"):
        corpus.dev_speakers(tmp_path)


def test_everything_that_verification_needs_is_read_from_a_corpus(tmp_path):
    root = make_strangers(tmp_path / "VoxCeleb1")
    path = corpus.find_trials(None, root, print)
    trials = read_trials(path)
    check_trials(trials, root / "test/wav", path)
    assert len(trials) == 54 and len(corpus.names_in(trials)) == 18
    recordings = corpus.recordings_by_speaker(root / "dev/wav")
    assert list(recordings) == [f"id{number}" for number in range(10001, 10007)]
    validation = dev_trials({name: recordings[name] for name in corpus.dev_speakers(root)})
    assert {name[:7] for trial in validation for name in trial[1:3]} == {"id10002", "id10005"}
    assert len(validation) == 36  # all 2 x 9 target pairs across videos, and as many others


def many(speakers=5, videos=3, recordings=4):
    return {
        f"id{speaker}": [
            f"id{speaker}/v{video}/{number}.wav" for video in range(videos) for number in range(recordings)
        ]
        for speaker in range(speakers)
    }


def test_trials_for_validation_are_balanced_different_and_across_videos():
    trials = dev_trials(many(), 200)
    assert [trial.label for trial in trials] == [True, False] * 100
    assert len({frozenset(trial[1:3]) for trial in trials}) == 200
    for trial in trials:
        one, other = (name.split("/") for name in trial[1:3])
        assert (one[0] == other[0]) is trial.label
        assert not trial.label or one[1] != other[1]
    of_speaker = [trial.enrol.split("/")[0] for trial in trials if trial.label]
    assert {of_speaker.count(name) for name in many()} == {20}


def test_trials_for_validation_depend_on_the_names_alone():
    known = many()
    turned = {name: known[name][::-1] for name in reversed(known)}
    assert dev_trials(known, 60) == dev_trials(turned, 60)
    assert [tuple(trial[:3]) for trial in dev_trials(known, 60)[:2]] == [  # the same on every machine
        (True, "id0/v1/1.wav", "id0/v2/3.wav"),
        (False, "id0/v2/2.wav", "id2/v1/1.wav"),
    ]


def test_a_small_corpus_gives_as_many_trials_as_it_has_pairs():
    assert len(dev_trials({"id1": ["id1/v/1.wav", "id1/v/2.wav"], "id2": ["id2/w/1.wav"]})) == 2
    alone = dev_trials(many(2, 1, 3))
    assert len(alone) == 12 and sum(trial.label for trial in alone) == 6
    for too_few in ({}, many(1), many(3, 1, 1)):
        with pytest.raises(UserError, match=r"no trials for validation over .*asv_dev_speakers\.txt"):
            dev_trials(too_few)
