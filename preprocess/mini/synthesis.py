"""Speech synthesis for the mini corpora: a text and a speaker give a recording with word and phone times."""

import hashlib
from bisect import bisect_right
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .espeak import Event, Speech, speak
from .phones import SILENCE, to_arpabet
from .speakers import Speaker

SAMPLE_RATE = 16000  # Hz
_SILENCE = (SAMPLE_RATE // 10, SAMPLE_RATE // 4)  # samples before and after the speech: 0.1 to 0.25 s
_FADE = SAMPLE_RATE // 200  # samples (5 ms) over which the ends of the speech fade


class Segment(NamedTuple):
    """A word or a phone and when it is heard, in seconds."""

    start: float
    end: float
    label: str


def synthesize(
    text: str, speaker: Speaker, seconds: float | None = None
) -> tuple[np.ndarray, list[Segment], list[Segment]]:
    """Say a text; the same text and speaker always give the same recording.

    Args:
        seconds: how long the recording is, with the speech somewhere in it; longer speech is cut at the end.
            None leaves a little silence around the speech.

    Returns:
        float32 samples at 16 kHz in [-1, 1] with some silence around the speech; the words as they stand in
        the text, with their times; and stressed ARPAbet phones (SIL between and around them) that cover the
        recording without a gap.

    Raises:
        UserError: the synthesiser is not installed.
        ValueError: nothing in the text can be spoken.
    """
    rng = np.random.default_rng([speaker.seed, *hashlib.sha256(text.encode()).digest()])
    # The playing speed scales formants and pitch, so the speaking rate is asked for that much slower.
    rate = round(speaker.rate * rng.uniform(0.95, 1.05) / speaker.tract)
    pitch = int(np.clip(speaker.pitch + rng.integers(-4, 5), 0, 99))
    seed = int(rng.integers(2**31))
    speech = speak(text, speaker.voice, rate, pitch, speaker.pitch_range, seed)
    spoken = _spoken_part(speech, text)
    played_rate = speech.rate * speaker.tract
    words, phones = _segments(spoken, text)

    if seconds is None:
        total = None
        lead, tail = rng.integers(*_SILENCE, size=2).tolist()
    else:
        total = round(seconds * SAMPLE_RATE)
        spare = max(0, total - round(len(spoken.samples) * SAMPLE_RATE / played_rate))
        lead, tail = int(rng.integers(0, spare + 1)), spare + _FADE  # long enough in any case
    samples = _record(spoken.samples, played_rate, lead, tail, speaker, rng)[:total]

    def heard(segments: list[Segment]) -> list[Segment]:
        delay = lead / SAMPLE_RATE
        return [
            Segment(s.start / played_rate + delay, s.end / played_rate + delay, s.label) for s in segments
        ]

    return samples, heard(words), _fill_silence(heard(phones), len(samples) / SAMPLE_RATE)


@cache
def pronounce(word: str) -> tuple[str, ...]:
    """Stressed ARPAbet phones of a word said alone in American English, for a lexicon."""
    labels = [to_arpabet(event.label) for event in speak(word, "en-us").events if event.kind == "phoneme"]
    return tuple(phone for label in labels for phone in label if phone != SILENCE)


def _spoken_part(speech: Speech, text: str) -> Speech:
    """Without the silence before the first and after the last sound."""
    sounds = [
        (event.sample, following.sample)
        for event, following in pairwise(
            [*(e for e in speech.events if e.kind == "phoneme"), Event("end", len(speech.samples), "", 0)]
        )
        if to_arpabet(event.label) not in ([], [SILENCE])
    ]
    if not sounds:
        raise ValueError(f"Nothing in {text!r} can be spoken.")
    start, end = sounds[0][0], sounds[-1][1]
    events = [replace(e, sample=min(max(e.sample - start, 0), end - start)) for e in speech.events]
    return replace(speech, samples=speech.samples[start:end], events=events)


def _segments(speech: Speech, text: str) -> tuple[list[Segment], list[Segment]]:
    """Words and phones, times in samples of the speech."""
    tokens = text.split()
    starts = _token_starts(text)
    # A phone lasts until the next one; marks without a sound of their own belong to the phone before.
    events = [e for e in speech.events if e.kind == "word" or to_arpabet(e.label)]
    onsets = [event.sample for event in events if event.kind == "phoneme"]
    ends = iter([*onsets[1:], len(speech.samples)])
    phones: list[Segment] = []
    groups: list[tuple[int, list[Segment]]] = []  # first token of the group, its phones
    for event in events:
        if event.kind == "word":
            position = event.position + text[event.position : event.position + 1].isspace()
            token = max(bisect_right(starts, position) - 1, groups[-1][0] if groups else 0)
            if not groups or groups[-1][0] != token:
                groups.append((token if groups else 0, []))
            continue
        labels = to_arpabet(event.label)
        edges = np.linspace(event.sample, next(ends), len(labels) + 1).tolist()
        parts = [Segment(*edge, label) for edge, label in zip(pairwise(edges), labels, strict=True)]
        phones += parts
        if groups:
            groups[-1][1].extend(part for part in parts if part.label != SILENCE)

    words: list[Segment] = []
    for (token, sounds), (next_token, _) in pairwise([*groups, (len(tokens), [])]):
        words += _words_of_group(tokens[token:next_token], sounds)
    return words, phones


def _token_starts(text: str) -> list[int]:
    starts, position = [], 0
    for token in text.split():
        position = text.index(token, position)
        starts.append(position)
        position += len(token)
    return starts


def _words_of_group(tokens: list[str], sounds: list[Segment]) -> list[Segment]:
    """Words that eSpeak NG says in one breath (`of the`) share its phones as they would alone."""
    if not sounds:
        return []
    shares = np.cumsum([0] + [len(pronounce(token)) if len(tokens) > 1 else 1 for token in tokens])
    if shares[-1] == 0:
        return []
    cuts = np.rint(shares * len(sounds) / shares[-1]).astype(int)
    return [
        Segment(sounds[first].start, sounds[last - 1].end, token)
        for token, (first, last) in zip(tokens, pairwise(cuts.tolist()), strict=True)
        if last > first
    ]


def _fill_silence(phones: list[Segment], duration: float) -> list[Segment]:
    """Cover 0 to `duration` without a gap, with one SIL where nothing or several pauses are."""
    filled: list[Segment] = []
    for phone in [*phones, Segment(duration, duration, SILENCE)]:
        end = filled[-1].end if filled else 0.0
        if phone.label != SILENCE:
            if phone.start > end:
                filled.append(Segment(end, phone.start, SILENCE))
                end = phone.start
            if phone.end > end:
                filled.append(Segment(end, phone.end, phone.label))
        elif phone.end > end:
            if filled and filled[-1].label == SILENCE:
                end = filled.pop().start
            filled.append(Segment(end, phone.end, SILENCE))
    return filled


def _record(
    speech: np.ndarray, rate: float, lead: int, tail: int, speaker: Speaker, rng: np.random.Generator
) -> np.ndarray:
    """As a microphone hears it: silence around, a level that wanders a little, the noise of the room."""
    import soxr

    voice = soxr.resample(speech, rate, SAMPLE_RATE).astype(np.float64)
    ramp = np.minimum(np.arange(1, len(voice) + 1) / _FADE, 1.0)
    voice *= ramp * ramp[::-1]
    level = speaker.level + rng.uniform(-1.5, 1.5)
    knots = rng.uniform(-1.0, 1.0, size=2 + len(voice) // (SAMPLE_RATE // 2))  # dB, one every half second
    drift = np.interp(np.arange(len(voice)), np.linspace(0, len(voice), len(knots)), knots)
    rms = float(np.sqrt(np.mean(voice**2))) or 1.0
    voice *= 10 ** ((level + drift) / 20) / rms
    room = np.random.default_rng([speaker.seed, 1]).normal(size=8) * 0.5 ** np.arange(8)  # its colour
    noise = np.convolve(
        rng.normal(size=lead + len(voice) + tail + 7), room / np.linalg.norm(room), mode="valid"
    )
    samples = noise * 10 ** (speaker.noise / 20)
    samples[lead : lead + len(voice)] += voice
    peak = float(np.abs(samples).max())
    return (samples * min(1.0, 0.98 / peak)).astype(np.float32)
