"""Slot filling as a user meets it: a prepared corpus, the shipped config, tagged texts and slot scores."""

import random

import pytest
import soundfile
import yaml
from tones import RATE, read_ark, speak

from s3prl.downstream.common.corpora import snips
from s3prl.downstream.common.metrics.slots import slot_type_f1, slot_value_cer
from s3prl.downstream.ctc.expert import DownstreamExpert
from s3prl.utility import get_best_dev
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.paths import ROOT
from s3prl.utility.snips import SPEAKERS

FOLDER = ROOT / "downstream/ctc"
# The letters of a word decide its slot.
KINDS = {"O": "AB", "artist": "CD", "city": "EF"}
TAG = {letter: tag for tag, letters in KINDS.items() for letter in letters}
COUNTS = {"train": 96, "valid": 12, "test": 12}


def make_corpus(root, counts, seed=0):
    """The prepared layout, of tones; returns the sentences as they were drawn, by utterance."""
    rng = random.Random(seed)
    texts, lines = {}, []
    for split, count in counts.items():
        (root / split).mkdir(parents=True)
        for number in range(count):
            words = ["".join(rng.sample(KINDS[rng.choice(list(KINDS))], 2)) for _ in range(rng.randint(2, 3))]
            name = f"{SPEAKERS[split][number % len(SPEAKERS[split])]}-snips-{split}-{number}"
            text, tags = " ".join(words), " ".join(TAG[word[0]] for word in words)
            soundfile.write(root / split / f"{name}.wav", speak("  ".join(words)), RATE)
            lines.append(f"{name} BOS {text} EOS\tO {tags} PlayMusic\n")
            texts[name] = words
    (root / "all.iob.snips.txt").write_text("".join(lines))
    (root / "slots.txt").write_text("O\nartist\ncity\n")
    return texts


def by_hand(words):
    """The tagged text of words of two letters."""
    units, before = [], "O"
    for word in [*words, None]:
        tag = "O" if word is None else TAG[word[0]]
        if tag != before:
            units += [f"E-{before}"] * (before != "O") + [f"B-{tag}"] * (tag != "O")
        units += [word] if word else []
        before = tag
    return " ".join(units)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora") / "SNIPS"
    return root, make_corpus(root, COUNTS)


def make_config(root, **fields):
    """The shipped config with the corpus of tones; fields are those of `corpus`."""
    config = load_yaml(FOLDER / "snips.yaml", expand=False)
    block = config["downstream_expert"]["corpus"]
    block["text"]["slots_file"] = str(root / "slots.txt")
    block |= {"path": str(root), "num_workers": 0, **fields}
    return config


def block_of(root, **fields):
    return make_config(root, **fields)["downstream_expert"]


def build(block, expdir, **options):
    block["model"]["project_dim"] = 16
    block["model"]["select"] = "FrameLevel"
    return DownstreamExpert(240, 160, downstream_expert=block, expdir=str(expdir), **options)


def test_training_on_tones_finds_slots_and_evaluation_repeats_the_result(
    corpus, downstream, tmp_path, capsys
):
    root, texts = corpus
    config = make_config(root, batch_size=8, eval_batch_size=4)
    config["runner"] |= {"total_steps": 120, "eval_step": 60, "save_step": 120, "log_step": 60}
    config["runner"]["eval_dataloaders"] = ["valid", "test"]
    config["optimizer"]["lr"] = 1e-2
    del config["specaug"]
    model = config["downstream_expert"]["model"]
    model["project_dim"] = 48
    model["RNNs"] |= {"dim": [48], "dropout": [0], "layer_norm": [False], "proj": [False], "sample_rate": [1]}
    (tmp_path / "tones.yaml").write_text(yaml.safe_dump(config))
    assert downstream("-u", "fbank", "-d", "ctc", "-c", "tones.yaml", "-p", "run") == 0
    best = next(line for line in capsys.readouterr().out.splitlines() if "Best slot_type_f1 on valid" in line)
    assert float(best.split(": ")[1].split()[0]) > 0.8
    assert {path.name for path in (tmp_path / "run").glob("*-best.ckpt")} == {
        "dev-best.ckpt",
        "valid-best.ckpt",
    }
    assert get_best_dev.main(["run/log.log"]) in (0, None)
    reported = capsys.readouterr().out.split()[-1]
    assert downstream("-m", "evaluate", "-e", "run/dev-best.ckpt") == 0  # the split is test without -t
    said = capsys.readouterr().out
    assert f"test slot_type_f1: {reported}\n" in said
    written = {}
    for split in ("valid", "test"):
        references, hypotheses = (read_ark(tmp_path / f"run/{split}-{kind}.ark") for kind in ("ref", "hyp"))
        assert references == {name: by_hand(words) for name, words in texts.items() if f"-{split}-" in name}
        assert list(hypotheses) == sorted(references)
        written[split] = list(references.values()), list(hypotheses.values())
    assert slot_type_f1(*written["test"]) == float(reported)
    assert f"test slot_value_cer: {slot_value_cer(*written['test'])}\n" in said
    nothing, majority = (
        [text] * len(written["test"][0]) for text in ("", "B-artist CD E-artist B-city EF E-city")
    )
    guesses = [slot_type_f1(written["test"][0], guess) for guess in (nothing, majority)]
    assert float(reported) > max(guesses) + 0.1


def test_splits_are_those_of_their_speakers_with_the_longest_text_first(corpus, tmp_path):
    root, texts = corpus
    expert = build(block_of(root), tmp_path)
    assert (len(expert.encoder), expert.name) == (31 + 2 * 2, "ctc-snips")
    assert (expert.metric.name, expert.metric.split, expert.metric.lower_is_better) == (
        "slot_type_f1",
        "valid",
        False,
    )
    assert expert.best_checkpoints == ("dev-best.ckpt", "valid-best.ckpt")
    for split in COUNTS:
        items = expert.listed(split)
        assert {item.name: item.label for item in items} == {
            name: by_hand(words) for name, words in texts.items() if f"-{split}-" in name
        }
        lengths = [len(item.label) for item in items]
        assert lengths == sorted(lengths, reverse=True)
        assert items[0].recording.path == str(root / split / f"{items[0].name}.wav")
    few = build(block_of(root, train_speakers=["Ivy", "Joey"]), tmp_path).listed("train")
    assert len(few) == 96 // 8 * 2 and {item.name.split("-")[0] for item in few} == {"Ivy", "Joey"}


def write_texts(root, *lines):
    """A corpus of which only the text and the names of the recordings are there."""
    (root / "test").mkdir(parents=True, exist_ok=True)
    for line in lines:
        (root / "test" / f"{line.split()[0]}.wav").touch()
    (root / "all.iob.snips.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read(root, said=pytest.fail):
    return {item.name: item.label for item in snips.items(root, ["test"], ["Emma"], said)}


def test_odd_words_are_written_as_they_are_said(tmp_path):
    write_texts(
        tmp_path,
        "Emma-snips-test-1 BOS PLAY R & B BY ÓLAFUR ? EOS\tO O genre genre genre O artist O PlayMusic",
        "Emma-snips-test-2 BOS \u697d\u5712\u8ffd\u653e , PLEASE EOS\tO movie movie O SearchScreeningEvent",
        "Emma-snips-test-3 BOS ROME PARIS OSLO EOS\tO city city country GetWeather",
    )
    assert read(tmp_path) == {
        "Emma-snips-test-1": "PLAY B-genre R AND B E-genre BY B-artist OLAFUR E-artist",
        "Emma-snips-test-2": "B-movie EXPELLED E-movie PLEASE",
        "Emma-snips-test-3": "B-city ROME PARIS E-city B-country OSLO E-country",
    }


def test_recordings_without_a_sentence_are_counted_and_left_out(tmp_path):
    write_texts(tmp_path, "Emma-snips-test-1 BOS HI EOS\tO O PlayMusic")
    (tmp_path / "test" / "Emma-snips-test-9.wav").touch()
    (tmp_path / "test" / "Emma-snips-test-1.txt").touch()
    said = []
    assert read(tmp_path, said.append) == {"Emma-snips-test-1": "HI"}
    assert len(said) == 1 and "1 recording without a line" in said[0] and "Emma-snips-test-9.wav" in said[0]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            ["Emma-snips-test-1 BOS HI EOS\tO O O PlayMusic"],
            r"line 1 \(Emma-snips-test-1\) has 3 words and 4 tags",
        ),
        (["Emma-snips-test-1 HI THERE YOU\tO O PlayMusic"], "is `<utterance> BOS WORD ... EOS<TAB>O TAG"),
        (["Emma-snips-test-1 BOS A EOS\tO O X"] * 2, "line 2: a second sentence of Emma-snips-test-1"),
        (["Amy-snips-test-1 BOS A EOS\tO O X"], "no recording of Emma with a line in .*its speakers: Amy"),
    ],
)
def test_a_text_that_cannot_be_read_names_file_line_and_form(tmp_path, lines, problem):
    write_texts(tmp_path, *lines)
    with pytest.raises(UserError, match=problem.replace("...", r"\.\.\.")):
        read(tmp_path)


def test_a_slot_that_slots_txt_lacks_is_refused_before_training(corpus, downstream, tmp_path, capsys):
    root, _ = corpus
    (tmp_path / "slots.txt").write_text("O\nartist\n")
    config = make_config(root)
    config["downstream_expert"]["corpus"]["text"]["slots_file"] = str(tmp_path / "slots.txt")
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(config))
    assert downstream("-u", "fbank", "-d", "ctc", "-c", "few.yaml", "-p", "run") == 2
    said = capsys.readouterr()
    assert "The slot 'city' of `" in said.err and "add the slot to slots_file" in said.err
    assert "step" not in said.out


def test_a_missing_corpus_names_the_path_the_preparation_and_the_miniature(tmp_path):
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block_of(tmp_path / "nowhere"), ["train"])
    for part in (
        str(tmp_path / "nowhere"),
        "prepare_snips.py",
        "make_mini_corpora.py snips",
        "mini_snips.yaml",
    ):
        assert part in str(error.value)
    (tmp_path / "half" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"It lacks valid and all\.iob\.snips\.txt"):
        DownstreamExpert.check(block_of(tmp_path / "half"), ["valid"])


def test_lists_of_ones_own_need_neither_corpus_nor_files_of_symbols(corpus, tmp_path):
    root, texts = corpus
    lists = {}
    for split in ("train", "test"):
        rows = [
            f"{root}/{split}/{name}.wav,{by_hand(words)}"
            for name, words in texts.items()
            if f"-{split}-" in name
        ]
        lists[split] = str(tmp_path / f"{split}.csv")
        (tmp_path / f"{split}.csv").write_text("\n".join(["path,text", *rows]) + "\n")
    block = block_of(root, lists=lists, path=None)
    block["corpus"]["text"] |= {"vocab_file": None, "slots_file": None}
    expert = build(block, tmp_path / "run")
    assert expert.encoder.slots == {"artist", "city"} and len(expert.encoder) == 3 + 1 + 6 + 4
    assert len(expert.listed("test")) == 12 and (tmp_path / "run" / "vocabulary.txt").is_file()
    with (tmp_path / "test.csv").open("a") as file:
        file.write(f"{root}/valid/Amy-snips-valid-1.wav,B-town AB E-town\n")
    with pytest.raises(UserError, match="The slot 'town' of `B-town AB E-town` is not among those"):
        build(block, tmp_path / "other").listed("test")


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("corpus.trian_speakers", ["Ivy"], "no field 'trian_speakers'. Did you mean 'train_speakers'"),
        ("corpus.test", ["tests"], "It lacks tests"),
        ("corpus.text.mode", "character", "slots_file needs the mode character-slot"),
        ("corpus.text.slots_file", "absent.txt", r"no list of slots .*absent\.txt"),
        ("metric", ["slot_typ_f1"], "Did you mean 'slot_type_f1'"),
        ("metric_higher_better", False, "but a higher slot_type_f1 is better"),
    ],
)
def test_a_mistake_in_the_config_names_the_field(field, value, hint, corpus):
    block = block_of(corpus[0])
    *parents, last = field.split(".")
    inner = block
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    with pytest.raises(UserError, match=hint):
        DownstreamExpert.check(block, ["test"])
