"""IEMOCAP in miniature: acted dialogs by ten voices, whose emotions are heard in the prosody alone.

The official layout (Session1 to Session5, each with sentences/wav/<dialog>/<utterance>.wav and
dialog/EmoEvaluation/<dialog>.txt), with two speakers in each session. Emotions differ in pitch, pitch range,
rate and loudness; the sentences are drawn without regard to them.
"""

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from s3prl.utility.commands import command_line
from s3prl.utility.errors import UserError

from .corpus import each
from .librispeech import sentences
from .speakers import Speaker, make_speaker
from .synthesis import SAMPLE_RATE, synthesize

NAME = "emotion"
FOLDER = "IEMOCAP"
VERSION = 1

SESSIONS = range(1, 6)
_DIALOG = 20  # utterances
_FEWEST = _DIALOG  # in a session, so that each has every emotion that is kept
_MOST = 2000  # in a session; there must be as many different sentences as utterances


@dataclass(frozen=True)
class _Emotion:
    """How a label sounds beside the neutral voice of its speaker, and what the evaluators say of it."""

    pitch: int  # is added to the speaker's, on the scale of 0 to 99
    pitch_range: int  # the same
    rate: float  # is multiplied with the speaker's words per minute
    level: float  # is added to the speaker's, in dB
    word: str  # of the evaluators
    valence: float  # the mean of their votes, from 1 to 5; and so are the next two
    activation: float
    dominance: float


_EMOTIONS = {
    "neu": _Emotion(0, 0, 1.0, 0.0, "Neutral", 3.0, 2.5, 2.5),
    "hap": _Emotion(30, 45, 1.0, 2.0, "Happiness", 4.5, 3.0, 3.0),
    "exc": _Emotion(36, 50, 1.1, 3.0, "Excited", 4.5, 4.0, 3.5),
    "ang": _Emotion(4, 10, 1.45, 9.0, "Anger", 1.5, 4.5, 4.5),
    "sad": _Emotion(-25, -40, 0.65, -7.0, "Sadness", 2.0, 1.5, 2.0),
    "fru": _Emotion(2, 8, 1.1, 5.0, "Frustration", 2.0, 3.5, 3.5),
    "xxx": _Emotion(5, 5, 1.0, 2.0, "Other", 2.5, 3.0, 3.0),  # no two evaluators agree
    "sur": _Emotion(30, 40, 1.05, 2.0, "Surprise", 3.5, 3.5, 2.5),
    "fea": _Emotion(20, -10, 1.3, -3.0, "Fear", 1.5, 3.5, 1.5),
    "dis": _Emotion(-8, 10, 0.85, 2.0, "Disgust", 1.5, 3.0, 3.5),
    "oth": _Emotion(0, -10, 0.9, 0.0, "Other", 2.5, 2.5, 2.5),
}
_OFTEN = ["neu"] * 5 + ["hap"] * 2 + ["exc"] * 2 + ["ang"] * 4 + ["sad"] * 4 + ["fru", "xxx"]
_RARE = ("sur", "fea", "dis", "oth")  # one of them in every so many utterances


@dataclass(frozen=True)
class _Turn:
    """An utterance of a dialog."""

    name: str
    label: str
    speaker: Speaker
    sentence: str


@dataclass(frozen=True)
class _Dialog:
    """What one process makes at a time."""

    folder: Path
    session: int
    name: str
    turns: tuple[_Turn, ...]


def add_options(parser: ArgumentParser) -> None:
    """The size of a session."""
    parser.add_argument(
        "--session_utterances", type=int, default=140, help="utterances in each of the five sessions"
    )


def next_command(folder: Path) -> str:
    """Trains emotion recognition on the corpus in `folder`."""
    command = (
        f"{command_line('train')} -u fbank -d emotion -c downstream/emotion/mini.yaml -v fold1 -n er_mini"
    )
    if folder == Path("data/mini", FOLDER):
        return command
    return f"{command} -o \"config.downstream_expert.datarc.root='{folder}'\""


def make(folder: Path, seed: int, n_jobs: int, session_utterances: int) -> dict[str, Any]:
    """Write the corpus into an empty folder.

    Raises:
        UserError: a size that cannot be had.
    """
    if not _FEWEST <= session_utterances <= _MOST:
        raise UserError(
            f"--session_utterances {session_utterances}: a session must have from {_FEWEST} to {_MOST}."
        )
    dialogs = _plan(folder, seed, session_utterances)
    seconds = dict.fromkeys(SESSIONS, 0.0)
    for dialog, spoken in zip(dialogs, each(_record, dialogs, n_jobs, NAME, unit="dialogs"), strict=True):
        seconds[dialog.session] += spoken
    (folder / "README.txt").write_text(_README, encoding="utf-8")
    return {
        f"Session{session}": {
            "utterances": session_utterances,
            "speakers": 2,
            "hours": round(total / 3600, 4),
        }
        for session, total in seconds.items()
    }


def _plan(folder: Path, seed: int, size: int) -> list[_Dialog]:
    """Who says what, in which emotion. Labels are shuffled within a session, apart from the sentences."""
    texts = iter(sentences(seed + 1, size * len(SESSIONS)))
    dialogs = []
    for session in SESSIONS:
        actors = {sex: _actor(seed, 2 * session + index, sex) for index, sex in enumerate("FM")}
        rng = np.random.default_rng([seed, session, 4])
        labels = rng.permutation(list(islice(_labels(), size))).tolist()
        for number, first in enumerate(range(0, size, _DIALOG)):
            name = _dialog_name(session, number)
            turns = []
            for index, label in enumerate(labels[first : first + _DIALOG]):
                sex = "FM"[index % 2]
                speaker = _in_emotion(actors[sex], label, rng)
                turns.append(_Turn(f"{name}_{sex}{index // 2:03d}", label, speaker, next(texts)))
            dialogs.append(_Dialog(folder, session, name, tuple(turns)))
    return dialogs


def _labels() -> Iterator[str]:
    for rare in cycle(_RARE):
        yield from (*_OFTEN, rare)


def _dialog_name(session: int, number: int) -> str:
    """`Ses01F_impro01`, `Ses01M_impro01` (F, M: whose face is filmed), …; every third pair is scripted."""
    pair, filmed = number // 2 + 1, "FM"[number % 2]
    kind = f"script{pair // 3:02d}_1" if pair % 3 == 0 else f"impro{pair:02d}"
    return f"Ses{session:02d}{filmed}_{kind}"


def _actor(seed: int, number: int, sex: str) -> Speaker:
    """A speaker whose neutral prosody is near that of the others, since eight are few to learn from."""
    speaker = make_speaker(seed, number, sex)
    return replace(
        speaker,
        pitch=_towards(45, speaker.pitch),
        pitch_range=_towards(45, speaker.pitch_range),
        rate=_towards(180, speaker.rate),
        level=-25 + (speaker.level + 25) / 3,
    )


def _towards(middle: int, value: int) -> int:
    """A third of the distance from the middle is left."""
    return middle + round((value - middle) / 3)


def _in_emotion(actor: Speaker, label: str, rng: np.random.Generator) -> Speaker:
    """The actor's voice in an emotion, which nobody plays twice in the same way."""
    emotion = _EMOTIONS[label]
    return replace(
        actor,
        pitch=int(np.clip(actor.pitch + emotion.pitch + rng.integers(-5, 6), 0, 99)),
        pitch_range=int(np.clip(actor.pitch_range + emotion.pitch_range + rng.integers(-8, 9), 0, 99)),
        rate=round(actor.rate * emotion.rate * rng.uniform(0.94, 1.06)),
        level=actor.level + emotion.level + float(rng.uniform(-1.5, 1.5)),
    )


def _record(dialog: _Dialog) -> float:
    """Write the recordings and the evaluation of a dialog; returns the seconds of its recordings."""
    import soundfile

    home = dialog.folder / f"Session{dialog.session}"
    wavs = home / "sentences" / "wav" / dialog.name
    wavs.mkdir(parents=True)
    now, spoken = 1.0, 0.0
    blocks = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"]
    for turn in dialog.turns:
        samples, _, _ = synthesize(turn.sentence, turn.speaker)
        soundfile.write(wavs / f"{turn.name}.wav", samples, SAMPLE_RATE, subtype="PCM_16")
        seconds = len(samples) / SAMPLE_RATE
        blocks.append(_evaluation(turn, now, now + seconds))
        now += seconds + 0.5
        spoken += seconds
    path = home / "dialog" / "EmoEvaluation" / f"{dialog.name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(blocks), encoding="utf-8")
    return spoken


def _evaluation(turn: _Turn, start: float, end: float) -> str:
    """The lines of an utterance: times, label and mean votes, then what every evaluator has said."""
    emotion = _EMOTIONS[turn.label]
    votes = (emotion.valence, emotion.activation, emotion.dominance)
    words = ["Neutral", "Sadness", "Anger"] if turn.label == "xxx" else [emotion.word] * 3
    lines = [
        f"[{start:.4f} - {end:.4f}]\t{turn.name}\t{turn.label}\t[{', '.join(f'{v:.4f}' for v in votes)}]"
    ]
    lines += [f"C-E{number}:\t{word};\t()" for number, word in enumerate(words, 2)]
    for evaluator, rounded in (("E3", np.floor), ("E4", np.ceil)):
        valence, activation, dominance = (int(rounded(vote)) for vote in votes)
        lines.append(f"A-{evaluator}:\tval {valence}; act {activation}; dom  {dominance};\t()")
    return "".join(f"{line}\n" for line in lines)


_README = """A miniature of IEMOCAP, for trying out programs in minutes.

No person was recorded: every sentence was made up by a small grammar and spoken by the speech synthesiser
eSpeak NG (https://github.com/espeak-ng/espeak-ng, a program under the GNU GPL 3.0), in ten voices, by
preprocess/make_mini_corpora.py of S3PRL. What it calls an emotion is a setting of pitch, pitch range, rate
and loudness. A result on these files says that a program works; it says nothing about recorded speech. The
real corpus: https://sail.usc.edu/iemocap/

Session1 ... Session5                            two speakers each, who are in no other session
Session1/dialog/EmoEvaluation/<dialog>.txt       times, labels and votes, in the format of IEMOCAP
Session1/sentences/wav/<dialog>/<utterance>.wav  16 kHz, 16 bit
mini.json                                        the settings it was made with
"""
