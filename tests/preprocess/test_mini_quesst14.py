"""The miniature of QUESST 2014: the layout of the database, and where its ground truth says queries occur."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from s3prl.downstream.common.metrics.quesst_truth import read_ground_truth
from s3prl.preprocess import make_mini_corpora
from s3prl.preprocess.mini.quesst14_words import WORDS

pytest.importorskip("espeakng_loader", reason="pip install -r requirements-mini.txt")

SIZES = {"documents": 15, "dev_queries": 15, "eval_queries": 6}
SETS = {"dev": 15, "eval": 6}
LANGUAGES = {"albanian", "basque", "czech", "nnenglish", "romanian", "slovak"}
RATE = 8000


def make(output: Path, *options: str) -> int:
    sizes = [text for name, size in SIZES.items() for text in (f"--{name}", str(size))]
    return make_mini_corpora.main(["quesst14", "--output", str(output), *sizes, *options])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    output = tmp_path_factory.mktemp("mini")
    assert make(output, "--n_jobs", "1") == 0
    return output / "quesst14Database"


def languages(corpus: Path, key: str) -> dict[Path, str]:
    """Of the recordings of a list, found as the task finds them: without the first folder."""
    lines = (corpus / "scoring" / f"language_key_{key}.lst").read_text().splitlines()
    return {corpus / line.split()[0].split("/", 1)[1]: line.split()[1] for line in lines}


def truth(corpus: Path, name: str) -> Path:
    return corpus / "scoring" / f"groundtruth_quesst14_{name}"


def occurrences(folder: Path) -> list[tuple[str, str, float, float]]:
    """Document, query, begin and duration in seconds."""
    rows = [line.split() for path in folder.glob("*.rttm") for line in path.read_text().splitlines()]
    assert {(row[0], row[2], row[6]) for row in rows} <= {("LEXEME", "1", "lex")}
    return [(row[1], row[5], float(row[3]), float(row[4])) for row in rows]


def test_recordings_lie_in_the_layout_of_the_database(corpus):
    paths = sorted(path.relative_to(corpus).as_posix() for path in corpus.rglob("*.wav"))
    assert len(paths) == sum(SIZES.values())
    pattern = r"Audio/quesst14_\d{5}\.wav|(dev|eval)_queries/quesst14_\1_\d{4}\.wav"
    assert all(re.fullmatch(pattern, path) for path in paths)
    infos = [soundfile.info(corpus / path) for path in paths]
    assert {(info.format, info.subtype, info.samplerate, info.channels) for info in infos} == {
        ("WAV", "PCM_16", RATE, 1)
    }
    for path, info in zip(paths, infos, strict=True):
        assert 2.5 <= info.duration <= 7 if path.startswith("Audio") else 0.4 <= info.duration < 2.5
        assert np.abs(soundfile.read(corpus / path)[0]).max() > 0.05


def test_the_lists_name_the_language_of_every_recording(corpus):
    folders = {"utterances": "Audio", "dev": "dev_queries", "eval": "eval_queries"}
    for key, folder in folders.items():
        found = languages(corpus, key)
        assert sorted(found) == sorted((corpus / folder).iterdir())
        assert set(found.values()) == LANGUAGES
    assert list(languages(corpus, "utterances").values()).count("nnenglish") == 10
    assert list(languages(corpus, "dev").values()).count("nnenglish") == 10


@pytest.mark.parametrize("split", SETS)
def test_the_scorer_reads_the_ground_truth(corpus, split):
    found = read_ground_truth(truth(corpus, split))
    assert found.documents == [path.stem for path in languages(corpus, "utterances")]
    assert found.queries == [path.stem for path in languages(corpus, split)]
    assert found.occurrences == {
        (query, document) for document, query, *_ in occurrences(truth(corpus, split))
    }


def test_every_query_occurs_in_its_language_but_one_in_ten(corpus):
    of = {path.stem: name for path, name in languages(corpus, "utterances").items()}
    for split, absent in {"dev": 1, "eval": 0}.items():
        of_queries = {path.stem: name for path, name in languages(corpus, split).items()}
        found = read_ground_truth(truth(corpus, split))
        assert len(of_queries.keys() - {query for query, _ in found.occurrences}) == absent
        assert all(of[document] == of_queries[query] for query, document in found.occurrences)


@pytest.mark.parametrize("split", SETS)
def test_an_occurrence_lies_in_its_document_and_lasts_as_long_as_the_query(corpus, split):
    for document, query, begin, duration in occurrences(truth(corpus, split)):
        wave, rate = soundfile.read(corpus / "Audio" / f"{document}.wav")
        assert 0 < begin < begin + duration < len(wave) / rate
        spoken = wave[round(begin * rate) : round((begin + duration) * rate)]
        assert spoken.std() > wave.std() / 3
        asked = soundfile.info(corpus / f"{split}_queries" / f"{query}.wav").duration - 0.1
        assert 0.5 < duration / asked < 1.6


@pytest.mark.parametrize("split", SETS)
def test_the_same_and_the_cross_voice_queries_make_up_the_set(corpus, split):
    whole, same, cross = (
        read_ground_truth(truth(corpus, split + kind)) for kind in ("", "_same_voice", "_cross_voice")
    )
    assert whole.documents == same.documents == cross.documents
    assert sorted(same.queries + cross.queries) == sorted(whole.queries)
    assert same.occurrences | cross.occurrences == whole.occurrences
    assert same.occurrences and cross.occurrences


def test_a_same_voice_query_has_the_voice_of_its_documents_and_a_cross_voice_query_another(corpus):
    def colour(path: Path) -> np.ndarray:
        """The mean spectrum of the loud frames, in dB without its level."""
        wave, _ = soundfile.read(path)
        frames = wave[: len(wave) // 256 * 256].reshape(-1, 256)
        power = np.abs(np.fft.rfft(frames[frames.std(1) > wave.std() / 3] * np.hanning(256))) ** 2
        level = 10 * np.log10(power.mean(0)[2:])
        return level - level.mean()

    def distance(kind: str) -> float:
        pairs = read_ground_truth(truth(corpus, f"dev_{kind}")).occurrences
        return np.mean(
            [
                np.abs(
                    colour(corpus / f"dev_queries/{query}.wav") - colour(corpus / f"Audio/{document}.wav")
                ).mean()
                for query, document in sorted(pairs)
            ]
        )

    assert distance("same_voice") < 0.85 * distance("cross_voice")


def test_words_of_a_language_are_in_one_list_only_so_that_what_occurs_is_known():
    for words in WORDS.values():
        said = [*words.alone, *words.paired, *words.other, *words.links]
        assert len(set(said)) == len(said) and all(word == word.lower() for word in said)
    assert set(WORDS) == LANGUAGES


def test_the_same_bytes_whatever_the_number_of_processes(corpus, tmp_path):
    assert make(tmp_path, "--n_jobs", "2") == 0
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (corpus, tmp_path / "quesst14Database")
    )
    assert one == two


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--documents", "5"), "--documents 5: it must be from 6, one of each language, to 20000"),
        (("--eval_queries", "501"), "--eval_queries 501: it must be from 6"),
        (("--eval_queries", "16"), "so 31 queries need at least 16 documents"),
        (("--eval_queries", "490"), "505 queries are more than the 500"),
    ],
)
def test_impossible_sizes_are_refused_and_named(tmp_path, capsys, option, message):
    assert make(tmp_path, *option) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "quesst14Database").exists()


def test_what_to_run_next_names_the_folder(corpus, capsys):
    assert make(corpus.parent) == 0
    said = capsys.readouterr().out
    assert "documents: 15 utterances" in said and "dev: 15 utterances" in said
    assert "-m evaluate -t test -u fbank -d quesst14_dtw -c downstream/quesst14_dtw/mini.yaml" in said
    assert f"config.downstream_expert.datarc.dataset_root='{corpus}'" in said
