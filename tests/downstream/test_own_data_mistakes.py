"""Mistakes in the user's own lists: one message each with file and line, before any training."""

from pathlib import Path

import pytest
import yaml
from conftest import metrics
from own_data import make_config, write_list, write_wave

COLUMNS = {
    "utterance_classification": ["path", "label"],
    "frame_classification": ["path", "label", "start", "end"],
    "speech_recognition": ["path", "text"],
}
TASKS = pytest.mark.parametrize("task", COLUMNS)


def row(task, path, value="ab"):
    """A row of a list for the task."""
    return [path, value, 0.0, 0.2] if task == "frame_classification" else [path, value]


@pytest.fixture
def refused(workdir, downstream, capsys):
    """Prepare good lists of a task, let a function spoil them, run; the refusal as one line."""

    def run(task, spoil=lambda root: None, *options):
        root = make_lists(task, workdir)
        spoil(root)
        capsys.readouterr()
        train = ["-m", "train", "-u", "example", "-d", task, "-c", "own.yaml", "-p", "run", *options]
        assert downstream(*train) == 2
        assert not list(workdir.glob("run/*.ckpt")) and not Path("run/metrics.jsonl").exists()
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return " ".join(said.split())

    return run


def make_lists(task, workdir):
    """my/{train,dev,test}.csv with six recordings each and own.yaml for a run of two steps."""
    root = workdir / "my"
    for split in ("train", "dev", "test"):
        rows = [row(task, f"wavs/{split}-{n}.wav", "ab" if n % 2 else "c") for n in range(6)]
        for name, *_ in rows:
            write_wave(root / name, [0.1, -0.1] * 1600)
        write_list(root / f"{split}.csv", COLUMNS[task], rows)
    steps = {"total_steps": 2, "log_step": 2, "eval_step": 2, "save_step": 2, "draw_curves": False}
    make_config(task, root, datarc={"train_batch_size": 2}, **steps)
    if task == "speech_recognition":
        config = yaml.safe_load(Path("own.yaml").read_text())
        small = {"dim": [4], "dropout": [0], "layer_norm": [False], "proj": [False], "sample_rate": [1]}
        config["downstream_expert"]["modelrc"].update(project_dim=4)
        config["downstream_expert"]["modelrc"]["RNNs"].update(small)
        Path("own.yaml").write_text(yaml.safe_dump(config))
    return root


def replace_line(path, number, text):
    """Put another text into a line of a file, counted from 1."""
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


@TASKS
def test_without_lists_a_run_shows_what_a_list_is(task, downstream, workdir, capsys):
    assert downstream("-m", "train", "-u", "example", "-d", task, "-n", "t") == 2
    said = capsys.readouterr().err
    header = "path,label,speaker" if task == "utterance_classification" else ",".join(COLUMNS[task])
    assert f"\n    {header}\n    wavs/" in said
    assert "config.downstream_expert.datarc.lists={'train': 'my/train.csv'" in said
    assert f"downstream/{task}/config.yaml" in said and "Your own data" in said


@TASKS
def test_a_missing_list_is_named(task, refused):
    said = refused(task, lambda root: (root / "dev.csv").unlink())
    assert "There is no list" in said and "my/dev.csv" in said


@TASKS
def test_a_missing_column_is_named_with_the_nearest(task, refused):
    column = COLUMNS[task][1]

    def spoil(root):
        replace_line(root / "test.csv", 1, ",".join(COLUMNS[task]).replace(column, f"{column}s"))

    assert f"test.csv has no column '{column}'. Did you mean '{column}s'?" in refused(task, spoil)


@TASKS
def test_an_empty_cell_is_named_with_its_line(task, refused):
    def spoil(root):
        replace_line(root / "train.csv", 3, ",".join(map(str, row(task, "wavs/train-1.wav", ""))))

    assert f"train.csv, line 3: '{COLUMNS[task][1]}' is empty" in refused(task, spoil)


@TASKS
def test_a_row_that_stands_twice_is_named_with_both_lines(task, refused):
    def spoil(root):
        replace_line(root / "train.csv", 5, (root / "train.csv").read_text().splitlines()[1])

    assert "train.csv lists wavs/train-0.wav in line 2 and again in line 5" in refused(task, spoil)


@TASKS
def test_a_list_without_rows_is_named(task, refused):
    def spoil(root):
        write_list(root / "dev.csv", COLUMNS[task], [])

    assert "dev.csv has no rows" in refused(task, spoil)


@TASKS
def test_a_line_that_is_no_json_is_named_with_its_number(task, refused):
    def spoil(root):
        rows = [row(task, f"wavs/dev-{number}.wav") for number in range(3)]
        write_list(root / "dev.jsonl", COLUMNS[task], rows)
        replace_line(root / "dev.jsonl", 2, '{"path": "wavs/dev-1.wav", ')
        config = yaml.safe_load(Path("own.yaml").read_text())
        config["downstream_expert"]["datarc"]["lists"]["dev"] = str(root / "dev.jsonl")
        Path("own.yaml").write_text(yaml.safe_dump(config))

    assert "dev.jsonl, line 2 is not JSON" in refused(task, spoil)


@TASKS
def test_an_excerpt_that_ends_before_it_starts_is_named(task, refused):
    def spoil(root):
        rows = [["wavs/dev-0.wav", "ab", 0.15, 0.1]]
        write_list(root / "dev.csv", [*COLUMNS[task][:2], "start", "end"], rows)

    assert "dev.csv, line 2: it ends at 0.1 s, but starts at 0.15 s" in refused(task, spoil)


@TASKS
def test_an_excerpt_after_the_end_of_its_file_is_refused(task, refused):
    def spoil(root):
        rows = [["wavs/dev-0.wav", "ab", 0.0, 0.1], ["wavs/dev-1.wav", "ab", 5.0, 6.0]]
        write_list(root / "dev.csv", [*COLUMNS[task][:2], "start", "end"], rows)

    said = refused(task, spoil)
    assert (
        "wavs/dev-1" in said and ("begins at 5 s" in said or "begins at 5.00 s" in said) and "0.20 s" in said
    )


@TASKS
def test_what_training_never_had_is_refused_in_dev(task, refused):
    def spoil(root):
        replace_line(root / "dev.csv", 4, ",".join(map(str, row(task, "wavs/dev-2.wav", "xyz"))))

    said = refused(task, spoil)
    if task == "speech_recognition":
        assert "dev.csv: 1 of 6 texts have none of the characters of the training: wavs/dev-2: xyz" in said
    else:
        assert "'xyz'" in said and "dev" in said and "wavs/dev-2" in said


def spoil_audio(root):
    (root / "wavs/train-1.wav").write_bytes(b"no audio")
    (root / "wavs/dev-3.wav").unlink()


@TASKS
def test_unreadable_audio_among_good_is_refused_before_training(task, refused):
    said = refused(task, spoil_audio)
    assert "1 of 6 audio files of the split 'train' cannot be used" in said
    assert "wavs/train-1.wav is not audio" in said and "--bad_audio skip" in said


@TASKS
def test_unreadable_audio_is_left_out_and_listed_when_asked(task, workdir, downstream):
    spoil_audio(make_lists(task, workdir))
    train = ["-m", "train", "-u", "example", "-d", task, "-c", "own.yaml", "-p", "run"]
    assert downstream(*train, "--bad_audio", "skip", "-o", "config.runner.total_steps=4") == 0
    listed = Path("run/bad_audio.tsv").read_text()
    assert "wavs/dev-3.wav" in listed and "wavs/train-1.wav" in listed
    assert {line["split"] for line in metrics(Path("run"))} == {"train", "dev", "test"}


def test_a_list_in_place_of_a_corpus_is_refused_in_the_same_words(workdir, downstream, capsys):
    root = make_lists("utterance_classification", workdir)
    lists = {split: str(root / f"{split}.csv") for split in ("train", "dev", "test")}
    options = [
        *("-m", "train", "-u", "example", "-d", "speech_commands", "-p", "run"),
        *("-o", f"+config.downstream_expert.datarc.lists={lists}"),
    ]
    replace_line(root / "test.csv", 3, "wavs/test-1.wav,xyz")
    assert downstream(*options) == 2
    said = capsys.readouterr().err
    assert "'xyz'" in said and "Traceback" not in said and not list(workdir.glob("run/*.ckpt"))


@pytest.mark.parametrize("task", ["utterance_classification", "speech_recognition"])
def test_a_label_that_is_no_text_is_named_with_its_line(task, refused):
    column = COLUMNS[task][1]

    def spoil(root):
        config = yaml.safe_load(Path("own.yaml").read_text())
        write_list(root / "train.jsonl", COLUMNS[task], [row(task, "wavs/train-0.wav", ["a", "b"])])
        config["downstream_expert"]["datarc"]["lists"]["train"] = str(root / "train.jsonl")
        Path("own.yaml").write_text(yaml.safe_dump(config))

    assert f"train.jsonl, line 1: '{column}' must be text, not ['a', 'b']" in refused(task, spoil)
