"""IEMOCAP in miniature whose emotions are tones, one pitch per label: small, yet learnable."""

import numpy as np
import soundfile

RATE = 16000
LABELS = ["neu", "hap", "exc", "ang", "sad", "fru", "xxx", "oth"]
KEPT = {"neu": "neu", "hap": "hap", "exc": "hap", "ang": "ang", "sad": "sad"}
EMOTIONS = ["neu", "hap", "ang", "sad"]


def dialogs(session):
    """Dialog -> labels of its utterances; of session 3 there are more."""
    impro = [LABELS[(index + session) % 8] for index in range(16 + 8 * (session == 3))]
    return {f"Ses0{session}M_impro01": impro, f"Ses0{session}F_impro01": impro[::-1]}


def lines(session):
    """(path, label) of every utterance, by file and line, as somebody reads the layout."""
    for dialog, labels in sorted(dialogs(session).items()):
        for number, label in enumerate(labels):
            name = f"{dialog}_{'FM'[number % 2]}{number // 2:03d}"
            yield f"Session{session}/sentences/wav/{dialog}/{name}.wav", label


def kept(*sessions):
    """(path, emotion) of what the task hears of sessions."""
    return [(path, KEPT[label]) for one in sessions for path, label in lines(one) if label in KEPT]


def make_emotions(root):
    """The five sessions, with hidden files of a Mac in between."""
    rng = np.random.default_rng(0)
    for session in range(1, 6):
        folder = root / f"Session{session}" / "dialog" / "EmoEvaluation"
        (folder / "Attribute").mkdir(parents=True)
        (folder / "Attribute" / "Ses01F_impro01_e1.txt").write_text("[0 - 1]\tSes01F_impro01_F000\tneu\t[]\n")
        (folder / "._Ses01F_impro01.txt").write_bytes(b"\x00\x05\x16\x07\n[\xff")
        texts = {}
        for path, label in lines(session):
            wav = root / path
            wav.parent.mkdir(parents=True, exist_ok=True)
            time = np.arange(int(RATE * rng.uniform(0.15, 0.25))) / RATE
            pitch = 200 * 1.6 ** LABELS.index(label if label != "exc" else "hap")
            tone = 0.3 * np.sin(2 * np.pi * pitch * time) + rng.normal(0, 0.005, len(time))
            soundfile.write(wav, tone, RATE)
            texts.setdefault(wav.parent.name, ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"])
            texts[wav.parent.name].append(
                f"\n[6.2901 - 8.2357]\t{wav.stem}\t{label}\t[2.5000, 2.5000, 2.5000]\n"
                "C-E2:\tNeutral;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n"
            )
        for dialog, blocks in texts.items():
            (folder / f"{dialog}.txt").write_text("".join(blocks))
    return root
