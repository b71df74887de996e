"""Slot filling: its metrics against hand-counted examples and public scorers, and its symbols."""

import importlib.util
import random

import jiwer
import pytest
from public_package import public_package_or_skip
from sklearn.metrics import f1_score

from s3prl.downstream.common.encoders import SlotEncoder
from s3prl.downstream.common.metrics import slots, text
from s3prl.utility.errors import UserError

LETTERS = [" ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
NAMES = ["artist", "art", "timeRange", "city"]
REFERENCES = [
    "PLAY B-artist THE BEATLES E-artist B-timeRange TONIGHT E-timeRange",
    "WEATHER IN B-city NEW YORK E-city AND B-city ROME E-city",
    "GOOD MORNING",
]
HYPOTHESES = [
    "PLAY B-artist BEATLES E-artist TONIGHT",
    "WEATHER IN B-city NEW YORK E-city AND B-artist ROME E-artist",
    "GOOD MORNING",
]


def random_texts(rng, damaged):
    """A text with a few slots; a damaged one has tags that were lost, doubled or glued to words."""
    parts = []
    for _ in range(rng.randint(1, 6)):
        words = " ".join("".join(rng.choices("ABC", k=rng.randint(1, 3))) for _ in range(rng.randint(1, 3)))
        name = rng.choice(NAMES)
        parts.append(f"B-{name} {words} E-{name}" if rng.random() < 0.5 else words)
    tokens = " ".join(parts).split()
    for _ in range(3 if damaged else 0):
        place = rng.randrange(len(tokens))
        action = rng.choice(["lose", "add", "glue", "keep"])
        if action == "lose" and len(tokens) > 1:
            tokens.pop(place)
        elif action == "add":
            tokens.insert(place, rng.choice(["B-", "E-"]) + rng.choice(NAMES))
        elif action == "glue":
            tokens[place : place + 2] = ["".join(tokens[place : place + 2])]
    return " ".join(tokens)


def random_splits(count, seed=0):
    rng = random.Random(seed)
    for _ in range(count):
        references = ["B-city ROME E-city", *(random_texts(rng, False) for _ in range(rng.randint(1, 10)))]
        yield references, [one if rng.random() < 0.2 else random_texts(rng, True) for one in references]


def test_the_slots_of_a_text_are_found_with_their_values():
    assert slots.slots_of(REFERENCES[1]) == {"city": ["NEW YORK", "ROME"]}
    assert slots.slots_of("B-artist THE B-city BEATLES E-artistNOW E-city") == {"artist": ["THE BEATLES"]}
    assert slots.slots_of("B-time 8:30; OR 9 E-time") == {"time": ["8:30; OR 9"]}
    assert slots.slots_of("B-artist NOBODY ENDS IT") == {}


def test_slot_scores_are_those_counted_by_hand():
    # Types: 2 wanted, 1 found, 1 right: 2/3; 1 wanted, 2 found, 1 right: 2/3; nothing wanted or found: 1.
    assert slots.slot_type_f1(REFERENCES, HYPOTHESES) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    # Values: THE BEATLES/BEATLES, TONIGHT/nothing, NEW YORK/NEW YORK, ROME/NEW YORK (the nearest city).
    characters = 4 + 7 + 0 + 7  # ROME -> NEW YORK keeps one letter
    assert slots.slot_value_cer(REFERENCES, HYPOTHESES) == characters / (11 + 7 + 8 + 4)
    assert slots.slot_value_wer(REFERENCES, HYPOTHESES) == (1 + 1 + 0 + 2) / (2 + 1 + 2 + 1)
    # Right: NEW YORK. Missed: THE BEATLES, TONIGHT, ROME. Wrong: BEATLES, NEW YORK; in full the artist ROME.
    assert slots.slot_edit_f1_part(REFERENCES, HYPOTHESES) == 100 * 2 / (2 + 3 + 2)
    assert slots.slot_edit_f1_full(REFERENCES, HYPOTHESES) == 100 * 2 / (2 + 3 + 3)
    assert slots.slot_type_f1(["HI"], ["B-city ROME E-city"]) == 0.0
    assert slots.slot_edit_f1_full(["HI"], ["HI"]) == 100.0


def test_slot_scores_are_those_of_public_scorers():
    for references, hypotheses in random_splits(8):
        wanted, found = ([slots.slots_of(one) for one in texts] for texts in (references, hypotheses))
        f1 = [
            f1_score([name in want for name in NAMES], [name in have for name in NAMES], zero_division=1.0)
            for want, have in zip(wanted, found, strict=True)
        ]
        assert slots.slot_type_f1(references, hypotheses) == pytest.approx(sum(f1) / len(f1))
        values, nearest = [], []
        for want, have in zip(wanted, found, strict=True):
            for name, texts in want.items():
                for one in texts:
                    values.append(one)
                    nearest.append(min(have.get(name, [""]), key=lambda other: jiwer.cer(one, other)))
        assert slots.slot_value_cer(references, hypotheses) == pytest.approx(jiwer.cer(values, nearest))


def test_all_metrics_are_those_of_the_public_package():
    place = public_package_or_skip() / "downstream" / "ctc" / "metric.py"
    spec = importlib.util.spec_from_file_location("public_metric", place)
    public = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(public)
    functions = {
        **{name: entry.function for name, entry in slots.METRICS.items()},
        "wer": text.wer,
        "cer": text.cer,
    }
    assert len(functions) == 7
    for references, hypotheses in random_splits(100):
        for name, function in functions.items():
            theirs = getattr(public, name)(hypothesis=hypotheses, groundtruth=references)
            assert function(references, hypotheses) == pytest.approx(theirs, abs=1e-12), name


def test_the_benchmark_has_31_symbols_and_two_for_each_slot(tmp_path):
    (tmp_path / "slots.txt").write_text("O\n" + "".join(f"slot{number}\n" for number in range(39)))
    encoder = SlotEncoder(LETTERS).with_slots(SlotEncoder.slots_of_file(tmp_path / "slots.txt"))
    assert len(encoder) == 109
    assert encoder.symbols[:5] == ["<pad>", "<eos>", "<unk>", " ", "A"]
    assert encoder.symbols[30:33] == ["'", "B-slot0", "E-slot0"] and encoder.symbols[-1] == "E-slot38"


def test_a_tag_is_a_symbol_and_no_blank_stands_inside_of_a_pair():
    encoder = SlotEncoder(LETTERS).with_slots(NAMES)
    symbols = [
        encoder.symbols[number] for number in encoder.encode("GO B-art A BC E-art B-city D E-city NOW")
    ]
    assert symbols == [
        *("G", "O", " ", "B-art", "A", " ", "B", "C", "E-art", " ", "B-city", "D", "E-city", " "),
        *("N", "O", "W", "<eos>"),
    ]


def test_decoding_undoes_encoding_and_stands_broken_pairs():
    encoder = SlotEncoder(LETTERS).with_slots(NAMES)
    for one in [*REFERENCES, "B-city ROME E-city"]:
        assert encoder.decode(encoder.encode(one)) == one
    numbers = {symbol: number for number, symbol in enumerate(encoder.symbols)}
    broken = [numbers[symbol] for symbol in ("E-art", "A", "B-city", "B-city", " ", "B", "<eos>")]
    assert encoder.decode(broken) == "E-artAB-city B-city B"
    assert slots.slots_of(encoder.decode(broken)) == {}


def test_a_slot_that_the_training_lacks_is_refused_and_an_unknown_letter_is_counted():
    encoder = SlotEncoder(LETTERS).with_slots(NAMES)
    assert encoder.unknown(["CAFÉ B-art É E-art", "E-TYPE"]) == {"É": 2, "-": 1}
    with pytest.raises(UserError, match=r"'artst' of `B-artst A E-artst`.*Did you mean 'artist'"):
        encoder.unknown(["B-artst A E-artst"])


def test_a_vocabulary_inferred_from_texts_holds_their_tags():
    encoder = SlotEncoder.from_content(SlotEncoder.inferred(REFERENCES, 0), "vocabulary.txt")
    assert encoder.slots == {"artist", "timeRange", "city"}
    assert [encoder.decode(encoder.encode(one)) for one in REFERENCES] == REFERENCES


@pytest.mark.parametrize(("content", "problem"), [("O\n", "names no slot"), ("O\na\nb\na\n", "has a twice")])
def test_a_list_of_slots_that_cannot_be_used_is_named(tmp_path, content, problem):
    path = tmp_path / "slots.txt"
    with pytest.raises(UserError, match=r"no list of slots .*slots.txt"):
        SlotEncoder.slots_of_file(path)
    path.write_text(content)
    with pytest.raises(UserError, match=problem):
        SlotEncoder.slots_of_file(path)
