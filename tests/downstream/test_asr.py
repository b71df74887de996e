"""The ASR task as a user meets it: a corpus folder, a config, texts and error rates."""

import random
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from tones import build, evaluate, features_of, make_config, make_corpus, read_ark, sentence, train

from s3prl.downstream.asr.expert import DownstreamExpert
from s3prl.downstream.common.characters import CharacterDictionary, spell
from s3prl.downstream.common.corpora.librispeech import items as librispeech_items
from s3prl.downstream.common.ctc import ctc_loss, frames_needed, greedy_decode
from s3prl.downstream.common.error_rate import edits, error_rate
from s3prl.utility.audio import AudioError
from s3prl.utility.config import load_yaml
from s3prl.utility.errors import UserError
from s3prl.utility.paths import ROOT
from s3prl.utility.recordings import read


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Models this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus") / "LibriSpeech"
    return make_corpus(root, {"train-clean-100": 64, "dev-clean": 9, "test-clean": 5})


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """An expert trained on the tones, its training records and its folder."""
    expdir = tmp_path_factory.mktemp("expdir")
    expert = build(make_config(corpus, eval_batch_size=1), expdir)
    return expert, train(expert, 120), expdir


def test_training_on_tones_spells_sentences_never_seen(trained):
    expert, _, _ = trained
    names, figures = evaluate(expert, "dev-clean", step=120)
    assert figures["wer"] < 30 and figures["cer"] < 15 and figures["uer"] < 15
    assert names == ["dev-best.ckpt", "dev-clean-best.ckpt"]
    assert evaluate(expert, "dev-clean")[0] == [], "the same score again is not a new best"
    assert evaluate(expert, "test-clean")[0] == [], "a test split never decides"


def test_hypotheses_and_references_carry_utterance_names(trained, corpus):
    expert, _, expdir = trained
    _, figures = evaluate(expert, "test-clean")
    references, hypotheses = (read_ark(expdir / f"test-clean-noLM-{kind}.ark") for kind in ("ref", "hyp"))
    written = {}
    for file in corpus.glob("test-clean/*/*/*.trans.txt"):
        written.update(line.split(" ", 1) for line in file.read_text().splitlines())
    assert references == written
    assert list(hypotheses) == sorted(written)
    errors = [edits(references[name].split(), hypotheses[name].split()) for name in references]
    assert figures["wer"] == error_rate(errors, [len(text.split()) for text in references.values()])


def test_the_best_score_survives_a_checkpoint(trained, corpus, tmp_path):
    expert, _, _ = trained
    evaluate(expert, "dev-clean")
    resumed = build(make_config(corpus), tmp_path)
    resumed.load_state_dict(expert.state_dict())
    assert evaluate(resumed, "dev-clean")[0] == []


def test_training_logs_a_loss_and_error_rates(trained):
    expert, records, _ = trained
    figures = {}
    names = expert.log_records("train", records, _Logger(figures), 120)
    assert names == []
    assert set(figures) == {f"asr/train-{name}" for name in ("loss", "wer", "cer", "uer")}
    assert len(records["words"]) < sum(records["utterances"]), "only some batches are decoded"


RNN_VARIANTS = {
    "lstm": {},
    "all knobs": {
        "module": "GRU", "dim": [16, 12], "dropout": [0.1, 0], "layer_norm": [True, False],
        "proj": [True, True], "sample_rate": [1, 2], "total_rate": 320,
    },
    "dropped frames, one direction": {"bidirection": False, "total_rate": 480, "sample_style": "drop"},
}  # fmt: skip


@pytest.mark.parametrize("name", [*RNN_VARIANTS, "Wav2Letter"])
def test_evaluating_in_batches_gives_the_same_texts_and_rates(name, corpus, tmp_path):
    results = []
    for size in (1, 4):
        block = make_config(corpus, eval_batch_size=size)
        if name == "Wav2Letter":
            block["modelrc"]["select"] = name
        else:
            block["modelrc"]["RNNs"].update(RNN_VARIANTS[name])
        expert = build(block, tmp_path / str(size))
        _, figures = evaluate(expert, "dev-clean")
        assert figures["loss"] < 1e4
        results.append((figures, (tmp_path / str(size) / "dev-clean-noLM-hyp.ark").read_text()))
    (alone, alone_texts), (batched, batched_texts) = results
    assert alone_texts == batched_texts
    assert alone == pytest.approx(batched, rel=1e-5)


def test_what_pads_an_utterance_never_changes_its_scores(corpus, tmp_path):
    for select in ("RNNs", "Wav2Letter"):
        block = make_config(corpus)
        block["modelrc"]["select"] = select
        expert = build(block, tmp_path).eval()
        short, long = torch.randn(50, 81), torch.randn(90, 81)
        together, lengths = expert.recognize([short, long])
        alone, (length,) = expert.recognize([short])
        assert lengths[0] == length
        torch.testing.assert_close(together[0, :length], alone[0, :length], rtol=1e-4, atol=1e-5)


def test_very_short_recordings_do_not_stop_a_run(corpus, tmp_path):
    for select, options in (("RNNs", {"total_rate": 640}), ("Wav2Letter", {"total_rate": 640})):
        block = make_config(corpus)
        block["modelrc"].update({"select": select, select: {**block["modelrc"][select], **options}})
        log_probs, lengths = build(block, tmp_path).recognize([torch.randn(1, 81), torch.randn(9, 81)])
        assert 1 <= lengths[0] <= lengths[1] <= log_probs.size(1) and log_probs.isfinite().all()


def test_a_missing_corpus_names_the_path_the_page_and_the_mini_command(tmp_path):
    block = make_config(tmp_path / "nowhere")
    with pytest.raises(UserError) as error:
        build(block, tmp_path).get_dataloader("train")
    for part in (
        str(tmp_path / "nowhere"),
        "openslr.org/12",
        "make_mini_corpora.py librispeech",
        "libri_root",
    ):
        assert part in str(error.value)
    with pytest.raises(UserError, match="nowhere"):
        DownstreamExpert.check(block, ["train", "dev-clean"])


def test_a_missing_split_folder_matters_only_when_it_is_used(corpus, tmp_path):
    block = make_config(corpus)
    DownstreamExpert.check(block, ["train", "dev-clean"])
    expert = build(block, tmp_path)
    assert len(expert.get_dataloader("train").dataset) == 64
    with pytest.raises(UserError, match=r"test-other was looked for .* It holds: dev-clean, test-clean"):
        expert.get_dataloader("test-other")


def test_evaluation_needs_no_training_data(tmp_path):
    root = make_corpus(tmp_path / "LibriSpeech", {"test-clean": 3})
    _, figures = evaluate(build(make_config(root), tmp_path / "exp"), "test-clean")
    assert figures["wer"] >= 0


def test_an_unknown_split_lists_those_of_the_config(corpus, tmp_path):
    with pytest.raises(UserError, match=r"no split 'test'.*test-clean"):
        build(make_config(corpus), tmp_path).get_dataloader("test")


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("datarc.eval_bach_size", 4, "eval_batch_size"),
        ("datarc.libri_rot", "x", "libri_root"),
        ("modelrc.project_dimension", 4, "project_dim"),
        ("modelrc.select", "RNN", "RNNs"),
        ("modelrc.RNNs.modul", "LSTM", "module"),
        ("modelrc.RNNs.module", "LSTN", "LSTM"),
        ("modelrc.RNNs.dropout", [0.1, 0.1], "RNNs.dropout"),
        ("datarc.decoder_args.lm_wait", 1, "lm_weight"),
        ("datarc.decoder_args.decoder_type", "kenml", "kenlm"),
        ("datarc.libri_root", None, "libri_root"),
        ("datarc.train_batch_size", "many", "datarc.train_batch_size must be a whole number, not 'many'"),
        ("datarc.dev-clean", [None], r"datarc.dev-clean\[0\] must be text"),
        ("datarc", [], "downstream_expert.datarc must be a section"),
        ("datarc", None, "needs the field 'datarc'"),
        ("modelrc", "RNNs", "downstream_expert.modelrc must be a section"),
        ("modelrc.RNNs", "LSTM", "downstream_expert.modelrc.RNNs must be a section"),
    ],
)
def test_a_mistake_in_the_config_names_the_field(path, value, hint, corpus, tmp_path):
    block = make_config(corpus)
    *parents, field = path.split(".")
    inner = block
    for parent in parents:
        inner = inner[parent]
    inner[field] = value
    with pytest.raises(UserError, match=hint):
        build(block, tmp_path)
    with pytest.raises(UserError, match=hint):
        DownstreamExpert.check(block, ["dev-clean"])


def test_a_recording_without_transcript_is_named(tmp_path):
    root = make_corpus(tmp_path / "LibriSpeech", {"test-clean": 4})
    file = next(root.glob("test-clean/*/*/*.trans.txt"))
    first, *rest = file.read_text().splitlines(keepends=True)
    file.write_text("".join(rest))
    with pytest.raises(UserError, match=first.split()[0]):
        build(make_config(root), tmp_path).get_dataloader("test-clean")


def test_a_transcript_without_recording_is_named(tmp_path):
    root = make_corpus(tmp_path / "LibriSpeech", {"test-clean": 4})
    lost = next(root.glob("test-clean/*/*/*.flac"))
    lost.unlink()
    with pytest.raises(UserError, match=rf"{lost.stem}.*bad_audio skip"):
        build(make_config(root), tmp_path).get_dataloader("test-clean")


@pytest.fixture
def damaged(tmp_path):
    """A corpus with one recording cut in the middle: root and that path."""
    root = make_corpus(tmp_path / "LibriSpeech", {"train-clean-100": 8, "dev-clean": 4})
    paths = []
    for split in ("train-clean-100", "dev-clean"):
        path = min(root.glob(f"{split}/*/*/*.flac"))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        paths.append(path)
    return root, paths


def test_a_truncated_recording_stops_the_run_with_its_path(damaged, tmp_path):
    root, paths = damaged
    with pytest.raises(AudioError, match=paths[1].stem):
        evaluate(build(make_config(root), tmp_path / "exp"), "dev-clean")


def test_characters_outside_the_dictionary_become_unk_and_are_counted(tmp_path, capsys):
    root = make_corpus(tmp_path / "LibriSpeech", {"test-clean": ["AB CD", "AB"]})
    file = next(root.glob("test-clean/*/*/*.trans.txt"))
    name = file.read_text().split()[0]
    file.write_text(f"{name} ÀB ÇÀ\n")
    expert = build(make_config(root), tmp_path / "exp")
    targets = {item.name: target for _, target, item in expert.get_dataloader("test-clean").dataset}
    spelling = [expert.dictionary.symbols[number] for number in targets[name]]
    assert spelling == ["<unk>", "B", "|", "<unk>", "<unk>", "|", "</s>"]
    assert "3 characters not in the dictionary become <unk>: À (2), Ç (1)" in capsys.readouterr().err


def test_transcripts_longer_than_their_frames_are_counted(tmp_path, capsys):
    root = make_corpus(tmp_path / "LibriSpeech", {"test-clean": 2})
    for file in root.glob("test-clean/*/*/*.trans.txt"):
        file.write_text(file.read_text().split()[0] + " " + "AB" * 500 + "\n")
    _, figures = evaluate(build(make_config(root), tmp_path / "exp"), "test-clean")
    assert figures["loss"] == 0
    assert "2 transcripts need more frames than there are" in capsys.readouterr().err


def test_inference_prints_and_writes_what_it_hears(trained, capsys):
    expert, _, expdir = trained
    expert.eval()
    recording, _, item = expert.get_dataloader("train").dataset[0]
    heard = expert.inference(features_of([read(recording)]), ["my-file"])
    assert edits(item.label, heard[0]) <= len(item.label) / 3
    assert capsys.readouterr().out.strip() == f"my-file {heard[0]}"
    assert read_ark(expdir / "inference.ark") == {"my-file": heard[0]}


def test_training_batches_group_similar_lengths(corpus, tmp_path):
    loader = build(make_config(corpus), tmp_path).get_dataloader("train")
    batches = [[item.samples for item in items] for _, _, items in loader]
    spreads = [max(lengths) - min(lengths) for lengths in batches]
    lengths = [item.samples for item in loader.dataset.items]
    assert sum(spreads) <= max(lengths) - min(lengths)
    assert lengths == sorted(lengths, reverse=True)


def test_the_shipped_dictionary_has_the_32_symbols_in_the_published_order(tmp_path):
    dictionary = CharacterDictionary.from_file(ROOT / "downstream/asr/char.dict")
    assert dictionary.symbols[:5] == ["<s>", "<pad>", "</s>", "<unk>", "|"]
    assert "".join(dictionary.symbols[5:]) == "ETAONIHSRDLUMCWFGYPBVK'XJQZ"
    assert len(dictionary) == 32
    counted = tmp_path / "dict.txt"  # as fairseq writes it: no special symbols, counts
    counted.write_text("".join(f"{symbol} 9\n" for symbol in dictionary.symbols[4:]))
    assert CharacterDictionary.from_file(counted).symbols == dictionary.symbols
    assert spell("I'M  UP") == ["I", "'", "M", "|", "U", "P", "|"]


def test_a_damaged_dictionary_is_reported(tmp_path):
    path = tmp_path / "char.dict"
    for text, problem in (("A\nB\n", "word boundary"), ("|\nA\nA\n", "A twice")):
        path.write_text(text)
        with pytest.raises(UserError, match=problem):
            CharacterDictionary.from_file(path)
    with pytest.raises(UserError, match=r"char\.dict"):
        CharacterDictionary.from_file(tmp_path / "absent")


def test_repeats_are_collapsed_before_blanks_are_dropped():
    best = torch.tensor([[5, 5, 0, 5, 6, 6], [6, 0, 0, 7, 9, 9]])
    scores = torch.nn.functional.one_hot(best, 10).float()
    assert greedy_decode(scores, [6, 4]) == [[5, 5, 6], [6, 7]]


def test_ctc_loss_equals_the_sum_over_all_alignments():
    log_probs = torch.randn(1, 4, 3, dtype=torch.double).log_softmax(-1)
    target = np.array([1, 1])
    total = sum(
        log_probs[0, range(4), path].sum().exp()
        for path in torch.cartesian_prod(*[torch.arange(3)] * 4)
        if greedy_decode(torch.nn.functional.one_hot(path, 3)[None].float(), [4]) == [[1, 1]]
    )
    torch.testing.assert_close(ctc_loss(log_probs, [4], [target]), -total.log()[None] / 2)
    assert frames_needed(target) == 3
    assert not ctc_loss(log_probs[:, :2], [2], [target]).any()
    assert ctc_loss(log_probs[:, :2], [2], [target], zero_infinity=False).isinf()


def test_error_rate_divides_by_the_reference_length():
    errors = [edits(["A", "B", "C", "D"], ["A"]), edits(["A"], ["A", "X", "Y"])]
    assert errors == [3, 2]
    assert error_rate(errors, [4, 1]) == 100.0
    assert error_rate([0], [0]) == 0 and error_rate([1], [0]) == float("inf")


def test_the_mini_config_differs_from_the_full_one_only_in_size(tmp_path):
    block = load_yaml(ROOT / "downstream/asr/mini.yaml")["downstream_expert"]
    expert = build(block, tmp_path)
    assert expert.best_score.shape == (1,)
    assert set(expert.state_dict()) >= {
        "projector.weight",
        "model.rnns.0.layer.weight_ih_l0",
        "model.linear.bias",
    }


FILE_CALLS = ("open", "stat", "lstat", "scandir", "listdir")


def calls_of_listing(folder, per_chapter, monkeypatch):
    """How often each function is called to list a corpus of 5 chapters."""
    rng, lengths = random.Random(0), {}
    for speaker in range(5):
        chapter = folder / "train-clean-100" / str(speaker) / "1"
        chapter.mkdir(parents=True)
        names = [f"{speaker}-1-{index:04d}" for index in range(per_chapter)]
        lines = [f"{name} {sentence(rng)}\n" for name in names]
        (chapter / f"{speaker}-1.trans.txt").write_text("".join(lines))
        lengths.update({f"train-clean-100/{speaker}/1/{name}.flac": 100000 for name in names})
    monkeypatch.setattr("s3prl.downstream.common.corpora.librispeech.load_lengths", lambda *args: lengths)
    calls = Counter()

    def count(frame, event, function):
        if event in ("call", "c_call"):
            calls[function.__name__ if event == "c_call" else frame.f_code.co_name] += 1

    sys.setprofile(count)
    try:
        utterances = librispeech_items(folder, ["train-clean-100"], folder)
    finally:
        sys.setprofile(None)
    assert len(utterances) == 5 * per_chapter
    return calls


def test_the_work_to_list_a_corpus_grows_with_its_size_and_touches_no_recording(tmp_path, monkeypatch):
    small = calls_of_listing(tmp_path / "small", 40, monkeypatch)
    large = calls_of_listing(tmp_path / "large", 160, monkeypatch)
    assert sum(large.values()) < 4.2 * sum(small.values())
    files = [sum(calls[name] for name in FILE_CALLS) for calls in (small, large)]
    assert files[0] == files[1] >= 5  # one transcript per chapter, however many recordings


class _Logger:
    def __init__(self, figures):
        self.figures = figures

    def add_scalar(self, name, value, global_step):
        self.figures[name] = value

    def add_line(self, line):
        """A line of log.log."""
