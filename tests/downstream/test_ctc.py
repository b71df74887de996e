"""Phone recognition as a user meets it: a corpus folder, a lexicon, a config, phones and error rates."""

import gzip
import http.server
import sys
import threading

import pytest
import yaml
from tones import make_corpus, read_ark

from s3prl.downstream.common.metrics.text import per
from s3prl.downstream.ctc.corpora import LEXICONS, corpus_of
from s3prl.downstream.ctc.expert import DownstreamExpert, read_config
from s3prl.utility import get_best_dev
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.paths import ROOT

FOLDER = ROOT / "downstream/ctc"
PHONES = dict(zip("ABCDEF", ("AA1", "B", "K", "D", "EH1", "F"), strict=True))
SIZES = {"train-clean-100": 64, "dev-clean": 8, "test-clean": 6}


def texts_of(root, folder):
    """Utterance -> transcript, as they are written in the corpus."""
    texts = "".join(path.read_text() for path in root.glob(f"{folder}/*/*/*.trans.txt"))
    return dict(line.split(" ", 1) for line in texts.splitlines())


def spoken(text):
    """The phones that a text has by the lexicon of the tones."""
    return " ".join(PHONES[letter] for word in text.split() for letter in word)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """LibriSpeech of tones, with a lexicon of its words beside it."""
    root = make_corpus(tmp_path_factory.mktemp("corpus") / "LibriSpeech", SIZES)
    words = {word for folder in SIZES for text in texts_of(root, folder).values() for word in text.split()}
    write_lexicon(root.parent / "lexicon.txt", *(f"{word}\t{spoken(word)}" for word in sorted(words)))
    return root


def make_config(corpus, name="libriphone.yaml", **fields):
    """A shipped config with the corpus of tones; fields are those of `corpus`."""
    config = load_yaml(FOLDER / name, expand=False)
    block = config["downstream_expert"]["corpus"]
    if "lexicon" in block:
        block["lexicon"] = [str(corpus.parent / "lexicon.txt")]
    block |= {"path": str(corpus), "num_workers": 0, **fields}
    return config


def block_of(corpus, **fields):
    return make_config(corpus, **fields)["downstream_expert"]


def build(block, expdir, **options):
    return DownstreamExpert(240, 160, downstream_expert=block, expdir=str(expdir), **options)


def write_corpus(root, texts, folder="train-clean-100"):
    """Transcripts alone; no recording is read to list them."""
    chapter = root / folder / "1/2"
    chapter.mkdir(parents=True)
    lines = (f"1-2-{number:04d} {text}\n" for number, text in enumerate(texts))
    (chapter / "1-2.trans.txt").write_text("".join(lines))
    return root


def write_lexicon(path, *lines):
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def test_training_on_tones_recognises_phones_and_evaluation_repeats_the_result(
    corpus, downstream, tmp_path, capsys
):
    config = make_config(corpus, batch_size=8, eval_batch_size=4)
    config["runner"] |= {"total_steps": 60, "eval_step": 30, "save_step": 60, "log_step": 30}
    config["runner"]["gradient_accumulate_steps"] = 1
    config["runner"]["eval_dataloaders"] = ["dev", "test"]
    (tmp_path / "tones.yaml").write_text(yaml.safe_dump(config))
    assert downstream("-u", "fbank", "-d", "ctc", "-c", "tones.yaml", "-p", "run") == 0
    best = next(line for line in capsys.readouterr().out.splitlines() if "Best per on dev" in line)
    assert float(best.split(": ")[1].split()[0]) < 0.5
    assert get_best_dev.main(["run/log.log"]) in (0, None)
    reported = capsys.readouterr().out.split()[-1]
    assert downstream("-m", "evaluate", "-e", "run/dev-best.ckpt") == 0  # the split is test without -t
    assert f"test per: {reported}\n" in capsys.readouterr().out
    references, hypotheses = (read_ark(tmp_path / f"run/test-{kind}.ark") for kind in ("ref", "hyp"))
    assert references == {name: spoken(text) for name, text in texts_of(corpus, "test-clean").items()}
    assert list(hypotheses) == sorted(references)
    assert per(list(references.values()), list(hypotheses.values())) == float(reported)
    heard = next(corpus.glob("test-clean/*/*/*.flac"))
    assert downstream("-m", "inference", "-t", heard, "-e", "run/dev-best.ckpt") == 0
    assert capsys.readouterr().out.strip().endswith(f"{heard.stem} {hypotheses[heard.stem]}".strip())


def test_splits_have_the_utterances_of_their_folders_with_the_longest_text_first(corpus, tmp_path):
    expert = build(block_of(corpus), tmp_path)
    assert (len(expert.encoder), expert.name, expert.metric.lower_is_better) == (74, "ctc-libriphone", True)
    for split, folder in (("train", "train-clean-100"), ("dev", "dev-clean"), ("test", "test-clean")):
        written = texts_of(corpus, folder)
        items = expert.items(split)
        labels = {name: spoken(text) for name, text in written.items()}
        assert {item.name: item.label for item in items} == labels
        counts = [len(item.label.split()) for item in items]
        assert counts == sorted((len(label.split()) for label in labels.values()), reverse=True)
        assert all(item.samples for item in items)


def test_the_first_pronunciation_of_the_first_lexicon_wins(tmp_path):
    root = write_corpus(tmp_path / "LibriSpeech", ["THE CAT", "READ THE"])
    first = write_lexicon(tmp_path / "first.txt", "the DH AH0", "THE DH IY0", "EMPTY", "READ\tR EH1 D")
    second = write_lexicon(tmp_path / "second.txt.gz", "READ R IY1 D", "CAT  K AE1 T")
    block = block_of(root, lexicon=[first, second])["corpus"]
    block.pop("text")
    labels = {item.name: item.label for item in corpus_of(block).items("train")}
    assert labels == {"1-2-0000": "DH AH0 K AE1 T", "1-2-0001": "R EH1 D DH AH0"}
    block["lexicon"] = [second, first]
    assert [item.label for item in corpus_of(block).items("train")] == ["DH AH0 K AE1 T", "R IY1 D DH AH0"]


def test_words_of_all_splits_that_no_lexicon_has_are_named_once_and_may_be_added(tmp_path):
    root = write_corpus(tmp_path / "LibriSpeech", ["ZYX CAT ZYX", "CAT"])
    write_corpus(root, ["QUUX CAT"], "dev-clean")
    block = block_of(root, lexicon=[write_lexicon(tmp_path / "a.txt", "CAT K AE1 T")])
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block, ["train", "dev"])
    message = str(error.value)
    assert "2 words of train, dev (3 occurrences)" in message and ": ZYX QUUX." in message
    assert "config.downstream_expert.corpus.extra_lexicon='my_words.txt'" in message
    extra = write_lexicon(tmp_path / "mine.txt", "ZYX Z IH1 K S")
    block["corpus"]["extra_lexicon"] = extra
    with pytest.raises(UserError, match=r"1 words of train, dev .*: QUUX\.\n.*mine\.txt"):
        DownstreamExpert.check(block, ["train", "dev"])
    write_lexicon(tmp_path / "mine.txt", "ZYX Z IH1 K S", "QUUX K W AH1 K S")
    DownstreamExpert.check(block, ["train", "dev"])


def test_the_shipped_lexicon_has_the_words_that_the_200k_lexicon_lacks(tmp_path):
    root = write_corpus(tmp_path / "LibriSpeech", ["CONTINYOOD HOO'LL"])
    block = block_of(root, lexicon=list(LEXICONS[1:]))["corpus"]
    block.pop("text")
    assert corpus_of(block).items("train")[0].label == "K AH0 N T IH1 N Y UH0 D HH UW1 L"
    assert load_yaml(FOLDER / "libriphone.yaml")["downstream_expert"]["corpus"]["lexicon"] == list(LEXICONS)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves a lexicon, and counts how often."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            found.requests.append(self.path)
            if self.path != "/lexicon.txt":
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"CAT K AE1 T\n")

    if "torch.hub" in sys.modules:
        monkeypatch.setattr(sys.modules["torch.hub"], "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for variable in ("S3PRL_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.requests, found.url = [], f"http://127.0.0.1:{found.server_address[1]}"
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def test_a_lexicon_on_the_network_is_fetched_once(server, tmp_path):
    block = block_of(write_corpus(tmp_path / "LibriSpeech", ["CAT"]), lexicon=[f"{server.url}/lexicon.txt"])
    for _ in range(2):
        DownstreamExpert.check(block, ["train"])
    assert server.requests == ["/lexicon.txt"]
    block["corpus"]["lexicon"] = [f"{server.url}/other.txt"]
    with pytest.raises(
        UserError,
        match=r"(?s)lexicon could not be downloaded.*local file .*\(in downstream_expert\.corpus\.lexicon",
    ):
        DownstreamExpert.check(block, ["train"])


def test_batches_have_texts_of_similar_length(corpus, tmp_path):
    def spread(**fields):
        loader = build(block_of(corpus, batch_size=8, **fields), tmp_path).get_dataloader("train")
        items = loader.dataset.items
        counts = [[len(items[index].label.split()) for index in batch] for batch in loader.batch_sampler]
        return sum(max(batch) - min(batch) for batch in counts)

    longest = max(len(spoken(text).split()) for text in texts_of(corpus, "train-clean-100").values())
    assert spread() < longest < spread(bucketing=False)


def test_lists_of_ones_own_take_the_place_of_the_corpus(corpus, tmp_path):
    path = next(corpus.glob("dev-clean/*/*/*.flac"))
    (tmp_path / "dev.csv").write_text(f"path,text\n{path},ab c\n")
    lists = {"dev": str(tmp_path / "dev.csv")}
    words = write_lexicon(tmp_path / "words.txt", "AB AA1 B", "C K")
    (item,) = build(block_of(corpus, lists=lists, path=None, lexicon=[words]), tmp_path).listed("dev")
    assert (item.label, str(item.recording.path)) == ("AA1 B K", str(path))
    characters = make_config(corpus, "librispeech.yaml", lists=lists, path=None)["downstream_expert"]
    expert = build(characters, tmp_path)
    assert [item.label for item in expert.listed("dev")] == ["AB C"] and len(expert.encoder) == 31
    with pytest.raises(UserError, match="no list of the split 'test'"):
        DownstreamExpert.check(characters, ["test"])


def test_a_subword_model_is_trained_on_the_transcripts_and_kept(corpus, tmp_path):
    block = make_config(corpus, "librispeech.yaml")["downstream_expert"]
    block["corpus"]["text"] = {"mode": "subword", "vocab_size": 30}
    expert = build(block, tmp_path)
    assert len(expert.encoder) == 30 and (tmp_path / "subword.model").is_file()
    again = build({**block, "corpus": {**block["corpus"], "path": "gone"}}, tmp_path / "other",
                  mode="evaluate", init_ckpt=str(tmp_path / "dev-best.ckpt"))  # fmt: skip
    assert list(again.target(expert.items("dev")[0])) == list(expert.target(expert.items("dev")[0]))


def test_a_run_that_starts_from_weights_keeps_the_vocabulary_of_their_training(corpus, tmp_path):
    block = make_config(corpus, "librispeech.yaml")["downstream_expert"]
    block["corpus"]["text"] = {"mode": "character"}
    (tmp_path / "first").mkdir()
    (tmp_path / "first/vocabulary.txt").write_text("F\nE\nD\nC\nB\nA\n \n")
    build(block, tmp_path / "second", init_ckpt=str(tmp_path / "first/dev-best.ckpt"))
    expert = build(
        block, tmp_path / "third", mode="evaluate", init_ckpt=str(tmp_path / "second/dev-best.ckpt")
    )
    assert expert.encoder.symbols[3:] == list("FEDCBA ")


def test_a_config_of_the_public_version_with_its_text_block_outside_of_the_corpus_is_read(corpus):
    block = block_of(corpus)
    block["text"] = block["corpus"].pop("text")
    config = read_config({**block, "metric_higher_better": False})
    assert config.text.mode == "word" and config.headline.name == "per"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_config_is_valid(path, tmp_path):
    block = load_yaml(path)["downstream_expert"]
    block["corpus"]["path"] = str(tmp_path / "none")
    if "lexicon" in block["corpus"]:
        block["corpus"]["lexicon"] = []
    with pytest.raises(UserError, match="was looked for in"):  # all but the data is there
        DownstreamExpert.check(block, ["train"])


def test_the_task_alone_names_its_configs(downstream, capsys):
    assert downstream("-u", "fbank", "-d", "ctc", "-n", "run") == 2
    error = capsys.readouterr().err
    assert "The task 'ctc' has no config.yaml" in error
    assert "-c downstream/ctc/libriphone.yaml" in error and "-c downstream/ctc/mini.yaml" in error


def test_a_missing_corpus_names_the_path_the_page_and_the_mini_command(tmp_path):
    with pytest.raises(UserError) as error:
        DownstreamExpert.check(block_of(tmp_path / "nowhere", lexicon=[]), ["train"])
    path, mini = str(tmp_path / "nowhere"), "downstream/ctc/mini.yaml"
    for part in (path, "openslr.org/12", "make_mini_corpora.py librispeech", "corpus.path", mini):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("corpus.name", "librifone", "corpus.name: librifone is not one of .*Did you mean 'libriphone'"),
        ("corpus.lexicons", ["a"], "no field 'lexicons'. Did you mean 'lexicon'"),
        ("corpus.batchsize", 4, "Did you mean 'batch_size'"),
        ("corpus.lexicon", ["absent.txt"], r"no lexicon .*absent\.txt \(.*corpus\.lexicon\)"),
        ("corpus.text", None, "needs the field 'text'"),
        ("corpus.text.mode", "words", "corpus.text.mode: words is not one of"),
        ("corpus.text.vocab_file", "absent.txt", r"no vocabulary .*absent\.txt"),
        ("metric", ["par"], "downstream_expert.metric: par is not one of .*per"),
        ("metric", "per", "downstream_expert.metric must be a list"),
        ("metric_higher_better", True, "but a lower per is better"),
        ("model.select", "Framelevel", "downstream_expert.model.select: .*Did you mean 'FrameLevel'"),
        ("model.zero_infinity", "perhaps", "model.zero_infinity must be true or false"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_config_names_the_field(field, value, hint, corpus):
    block = block_of(corpus)
    *parents, last = field.split(".")
    inner = block
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    with pytest.raises(UserError, match=hint):
        DownstreamExpert.check(block, ["dev"])


def test_a_split_that_the_config_lacks_is_named(corpus):
    with pytest.raises(UserError, match=r"no split 'valid' .*It has: train, dev, test"):
        DownstreamExpert.check(block_of(corpus), ["valid"])
