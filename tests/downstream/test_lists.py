"""Lists of the user's own recordings, CSV and JSONL: what is read of them, and what is refused."""

import json
import re

import numpy as np
import pytest
import soundfile

from s3prl.downstream.common import lists
from s3prl.utility.errors import UserError


def rows_of(tmp_path, text, name="train.csv", columns=("label",)):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return lists.read_list(path, columns)


def test_csv_tsv_and_jsonl_say_the_same(tmp_path):
    comma = rows_of(tmp_path, 'path,label,start,end\nwavs/a.wav,"one, two",,\nwavs/b.flac,7,0.5,2\n')
    tab = rows_of(
        tmp_path, "path\tlabel\tstart\tend\nwavs/a.wav\tone, two\t\t\nwavs/b.flac\t7\t0.5\t2\n", "t.tsv"
    )
    objects = [{"path": "wavs/a.wav", "label": "one, two"}, {"path": "wavs/b.flac", "label": 7, "start": 0.5}]
    objects[1]["end"] = 2
    lines = rows_of(tmp_path, "\n".join(map(json.dumps, objects)) + "\n\n", "t.jsonl")
    for first, second in (comma, tab, lines):
        assert (first.name, first.path, first.fields["label"]) == (
            "wavs/a",
            tmp_path / "wavs/a.wav",
            "one, two",
        )
        assert (first.recording.start, first.recording.stop) == (None, None)
        assert (second.name, second.fields["label"]) == ("wavs/b-0.500-2.000", "7")
        assert (second.recording.start, second.recording.stop) == (0.5, 2.0)


def test_files_that_differ_in_their_suffix_only_keep_it_in_their_names(tmp_path):
    names = [row.name for row in rows_of(tmp_path, "path,label\na.wav,x\na.flac,y\nb.wav,x\n")]
    assert names == ["a.wav", "a.flac", "b"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "path,labels\na.wav,x\n", "has no column 'label'. Did you mean 'labels'?"),
        ("a.csv", "path,label\na.wav,\n", "line 2: 'label' is empty"),
        ("a.csv", "path,label\na.wav,x,y\n", "line 2: there are more cells than the 2 columns"),
        ("a.csv", "path,label\na.wav,x\nb.wav,x\na.wav,y\n", "lists a.wav in line 2 and again in line 4"),
        ("a.csv", "path,label\n", "has no rows"),
        ("a.csv", "path,label,start,end\na.wav,x,2,1\n", "line 2: it ends at 1 s, but starts at 2 s"),
        (
            "a.csv",
            "path,label,start\na.wav,x,soon\n",
            "line 2: 'start' must be a time in seconds",
        ),
        ("a.csv", "path,label,start\na.wav,x,-1\n", "line 2: 'start' must be a time in seconds"),
        ("a.jsonl", '{"path": "a.wav", "label": "x"}\n{"path": \n', "line 2 is not JSON"),
        ("a.jsonl", '["a.wav", "x"]\n', "line 1: an object such as"),
        (
            "a.jsonl",
            '{"path": "a.wav", "lable": "x"}\n',
            "has no field 'label'. Did you mean 'lable'?",
        ),
        ("a.jsonl", '{"path": "a.wav", "label": []}\n', "line 1: 'label' is empty"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(tmp_path, name, text, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        rows_of(tmp_path, text, name)
    assert str(tmp_path / name) in str(error.value)


def test_text_of_another_encoding_is_refused(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("path,label\na.wav,für\n".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8 text"):
        lists.read_list(path, ["label"])


def test_a_split_without_a_list_is_named(tmp_path):
    with pytest.raises(UserError, match=r"names no list of the split 'dev'\..* It names lists of: train"):
        lists.check({"train": "a.csv"}, ["dev"], ["label"])


def test_lengths_count_from_the_excerpt(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)  # a second
    path = tmp_path / "a.csv"
    path.write_text(
        "path,text,start,end\na.wav,one,,\na.wav,two,0.25,0.5\na.wav,three,0.5,9\nno.wav,four,,\n"
    )
    items = lists.transcripts({"train": str(path)}, "train")
    assert [(item.label, item.samples) for item in items] == [
        ("one", 16000),
        ("three", 8000),
        ("two", 4000),
        ("four", 0),
    ]
