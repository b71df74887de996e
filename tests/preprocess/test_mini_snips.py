"""The miniature of SNIPS: the layout of the prepared corpus, disjoint speakers, the task that reads it."""

from collections import Counter
from pathlib import Path

import pytest
import soundfile

from s3prl.downstream.common.corpora import snips as reader
from s3prl.downstream.common.encoders import SlotEncoder
from s3prl.preprocess import make_mini_corpora
from s3prl.preprocess.mini import snips as recipe
from s3prl.utility.snips import SPEAKERS

pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")

COUNTS = {"train": 16, "valid": 5, "test": 4}
SIZES = [text for split, count in COUNTS.items() for text in (f"--{split}_utterances", str(count))]


def make(output: Path, *options: str) -> int:
    return make_mini_corpora.main(["snips", "--output", str(output), *SIZES, *options])


def sentences(corpus):
    """Utterance -> (words, tags, intent), read as the real files are described."""
    found = {}
    for line in (corpus / "all.iob.snips.txt").read_text().splitlines():
        said, tags = line.split("\t")
        name, first, *words, last = said.split()
        outside, *tags, intent = tags.split()
        assert (first, last, outside) == ("BOS", "EOS", "O") and len(words) == len(tags)
        found[name] = (words, tags, intent)
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output = tmp_path_factory.mktemp("mini")
    assert make(output, "--n_jobs", "1") == 0
    return output / "SNIPS"


def test_each_split_has_the_recordings_of_its_own_speakers(corpus):
    for split, speakers in SPEAKERS.items():
        names = [path.stem for path in (corpus / split).iterdir()]
        numbers = range(COUNTS[split])
        assert sorted(names) == sorted(f"{speakers[n % len(speakers)]}-snips-{split}-{n}" for n in numbers)
        infos = [soundfile.info(corpus / split / f"{name}.wav") for name in names]
        formats = {(info.format, info.subtype, info.samplerate, info.channels) for info in infos}
        assert formats == {("WAV", "PCM_16", 16000, 1)}
        assert all(1 < info.duration < 4 for info in infos)
    assert sum(map(len, SPEAKERS.values())) == len(set().union(*SPEAKERS.values()))


def test_the_texts_are_tagged_as_the_preparation_tags_them(corpus):
    said = sentences(corpus)
    assert len(said) == sum(COUNTS.values())
    assert len({tuple(words) for words, _, _ in said.values()}) == len(said)  # no sentence twice
    assert len({intent for _, _, intent in said.values()}) == 7
    assert all(word.isalpha() and word.isupper() for words, _, _ in said.values() for word in words)
    tags = Counter(tag for _, found, _ in said.values() for tag in found)
    listed = (corpus / "slots.txt").read_text().split()
    assert listed == sorted(tags, key=lambda tag: (-tags[tag], tag)) and listed[0] == "O"
    plain = dict(line.split(" ", 1) for line in (corpus / "all-trans.txt").read_text().splitlines())
    assert plain == {name: " ".join(words) for name, (words, _, _) in said.items()}


def test_the_default_size_has_a_dozen_slots_all_of_them_in_training():
    drawn = recipe._sentences(1337, 780)
    training, other = drawn[:600], drawn[600:]
    tags = [{tag for sentence in part for tag in sentence.tags} for part in (training, other)]
    assert len(tags[0] - {"O"}) == 13 and tags[1] <= tags[0]
    words = [{word for sentence in part for word in sentence.words} for part in (training, other)]
    assert words[1] <= words[0]


def test_the_task_reads_every_recording_with_its_slots(corpus):
    slots = SlotEncoder.slots_of_file(corpus / "slots.txt")
    encoder = SlotEncoder([" ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]).with_slots(slots)
    said = sentences(corpus)
    for split, speakers in SPEAKERS.items():
        items = reader.items(corpus, [split], speakers, pytest.fail)
        assert len(items) == COUNTS[split] and not encoder.unknown(item.label for item in items)
        for item in items:
            words, tags, _ = said[item.name]
            assert [word for word in item.label.split() if "-" not in word] == words
            assert {word[2:] for word in item.label.split() if "-" in word} == set(tags) - {"O"}


def test_the_same_bytes_whatever_the_number_of_processes_and_others_for_another_seed(corpus, tmp_path):
    assert make(tmp_path, "--n_jobs", "2") == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (corpus, tmp_path / "SNIPS")
    )
    assert one == two
    assert recipe._sentences(1, 20) != recipe._sentences(2, 20)


def test_impossible_sizes_are_refused_and_named(tmp_path, capsys):
    assert make(tmp_path, "--valid_utterances", "3") == 2
    assert "--valid_utterances 3: its 4 speakers" in capsys.readouterr().err
    assert make(tmp_path, "--train_utterances", "100000") == 2
    assert "more than the 900 different sentences" in capsys.readouterr().err
    assert not (tmp_path / "SNIPS").exists()


def test_what_to_run_next_names_the_files(corpus, capsys):
    assert make(corpus.parent) == 0
    said = capsys.readouterr().out
    assert "train: 16 utterances" in said and "8 speakers" in said
    assert "-d ctc -c downstream/ctc/mini_snips.yaml" in said
    assert f"config.downstream_expert.corpus.text.slots_file='{corpus / 'slots.txt'}'" in said
