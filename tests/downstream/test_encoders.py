"""Text encoders: what becomes of a text, and what can go wrong with a vocabulary."""

import numpy as np
import pytest

from s3prl.downstream.common.characters import CharacterDictionary
from s3prl.downstream.common.encoders import CharacterEncoder, EncoderSettings, SubwordEncoder, WordEncoder
from s3prl.utility.errors import UserError
from s3prl.utility.paths import ROOT

SENTENCES = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "that mat is flat"] * 5


def subword(size=40):
    return SubwordEncoder(SubwordEncoder.inferred(SENTENCES, size))


def test_phones_are_encoded_by_the_shipped_vocabulary_with_74_symbols():
    encoder = EncoderSettings("word").from_file(ROOT / "downstream/ctc/vocab/phoneme.txt")
    assert len(encoder) == 74 and encoder.blank == 0
    assert encoder.symbols[:5] == ["<pad>", "<eos>", "<unk>", "SIL", "SPN"]
    numbers = encoder.encode("HH AH0 L OW1")
    assert numbers.dtype == np.int64
    assert [encoder.symbols[number] for number in numbers] == ["HH", "AH0", "L", "OW1", "<eos>"]
    assert encoder.decode([0, *numbers]) == "HH AH0 L OW1"


def test_characters_are_encoded_by_the_shipped_vocabulary_with_31_symbols():
    encoder = EncoderSettings("character").from_file(ROOT / "downstream/ctc/vocab/character.txt")
    assert "".join(encoder.symbols[3:]) == " ABCDEFGHIJKLMNOPQRSTUVWXYZ'" and len(encoder) == 31
    assert list(encoder.encode(" IT'S  A\n")) == [12, 23, 30, 22, 3, 4, 1]
    assert encoder.decode(encoder.encode("IT'S A")) == "IT'S A"


def test_symbols_that_the_vocabulary_lacks_become_unk_and_are_counted():
    encoder = CharacterEncoder(["A", " "])
    assert list(encoder.encode("AÀ A")) == [3, 2, 4, 3, 1]
    assert encoder.unknown(["ÀÀ A", "BÀ"]) == {"À": 3, "B": 1}
    assert encoder.decode([3, 2]) == "A<unk>"
    assert WordEncoder(["B", "AH0"]).unknown(["B AH1", "AH1 AH0"]) == {"AH1": 2}


def test_a_vocabulary_is_inferred_sorted_and_reads_back():
    for kind, symbols in ((CharacterEncoder, [" ", "A", "B"]), (WordEncoder, ["A", "AB"])):
        content = kind.inferred(["AB A", "A"], 0)
        assert kind.from_content(content, "kept").symbols[3:] == symbols
    with pytest.raises(UserError, match="transcripts are empty"):
        CharacterEncoder.inferred(["", " "], 0)


def test_subwords_spell_what_they_were_trained_on():
    encoder = subword()
    assert len(encoder) == 40 and encoder.blank == 0
    numbers = encoder.encode("the cat sat")
    assert numbers[-1] == 1 and len(numbers) < len("the cat sat") and not set(numbers[:-1]) & {0, 1, 2}
    assert encoder.decode([0, *numbers]) == "the cat sat"
    assert encoder.unknown(["the cät sät", "log"]) == {"ä": 2}
    assert SubwordEncoder.inferred(SENTENCES, 40) == SubwordEncoder.inferred(SENTENCES, 40)


@pytest.mark.parametrize(
    ("mode", "content", "problem"),
    [
        ("character", b"A\nB\nA\n", "has the symbol 'A' twice"),
        ("word", b"A\n<unk>\n", "has the symbol '<unk>' twice"),
        ("word", b"\n", "is empty"),
        ("character", b"\xff\xfe\n", "is not UTF-8"),
        ("subword", b"no model", "is no sentencepiece model"),
    ],
)
def test_a_damaged_vocabulary_is_named(mode, content, problem, tmp_path):
    path = tmp_path / "units.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"units\.txt {problem}"):
        EncoderSettings(mode).from_file(path)
    with pytest.raises(UserError, match=r"no vocabulary .*absent\.txt"):
        EncoderSettings(mode).from_file(tmp_path / "absent.txt")


def test_a_subword_model_needs_its_special_pieces_in_front_and_text_enough(tmp_path):
    from sentencepiece import SentencePieceTrainer

    SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_prefix=str(tmp_path / "other"), vocab_size=25, minloglevel=2
    )
    with pytest.raises(UserError, match="--pad_id=0"):
        EncoderSettings("subword").from_file(tmp_path / "other.model")
    with pytest.raises(UserError, match="vocab_size 9999"):
        SubwordEncoder.inferred(SENTENCES, 9999)


def test_the_dictionary_of_the_asr_task_is_an_encoder_too():
    dictionary = CharacterDictionary.from_file(ROOT / "downstream/asr/char.dict")
    assert dictionary.decode(dictionary.encode("HELLO YOU")) == "HELLO YOU"
    assert dictionary.unknown(["ÀB"]) == {"À": 1} and dictionary.blank == 0
