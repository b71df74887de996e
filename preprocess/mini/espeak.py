"""eSpeak NG through ctypes: text in, 22 050 Hz samples and word and phoneme times out.

The library (package `espeakng-loader`, GPL-3.0) only makes demonstration data; nothing of the toolkit's
runtime imports this file. One library state lives in each process: use processes, not threads.
"""

import _ctypes
import ctypes
from dataclasses import dataclass
from functools import cache

import numpy as np

from s3prl.utility.commands import localized
from s3prl.utility.errors import UserError

_SYNCHRONOUS, _PHONEME_EVENTS, _UTF8 = 2, 1, 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_END, _WORD, _PHONEME = 0, 1, 7  # espeak_EVENT_TYPE


class _Identity(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Event:
    """A word or a phoneme begins."""

    kind: str  # "word" or "phoneme"
    sample: int  # where, in samples of the speech
    label: str  # a phoneme's mnemonic with its stress mark; empty for a word
    position: int  # index of the word's first character in the text


@dataclass(frozen=True)
class Speech:
    """What eSpeak NG said: samples in [-1, 1] at `rate` Hz, and its events in order of time."""

    samples: np.ndarray
    rate: int
    events: list[Event]


@cache
def _files() -> tuple[str, bytes]:
    """Where the library and its data are."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise UserError(
            f"The mini corpora need the speech synthesiser of the package espeakng-loader ({error}). "
            f"Install it with: {localized('pip install -r requirements-mini.txt')}"
        ) from error
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path().encode()


def _open() -> tuple[ctypes.CDLL, int]:
    """A library in its initial state, and its sample rate in Hz."""
    path, data = _files()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise UserError(
            f"The speech synthesiser {path} cannot be loaded ({error}). "
            f"Install it again with: {localized('pip install --force-reinstall -r requirements-mini.txt')}"
        ) from error
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS)
    if rate <= 0:
        raise UserError(
            f"The speech synthesiser {path} does not start with its data in {data.decode()}. "
            f"Install it again with: {localized('pip install --force-reinstall -r requirements-mini.txt')}"
        )
    return library, rate


def _close(library: ctypes.CDLL) -> None:
    library.espeak_Terminate()
    unload = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary
    unload(library._handle)


def speak(
    text: str, voice: str, rate: int = 175, pitch: int = 50, pitch_range: int = 50, seed: int = 0
) -> Speech:
    """Say a text; the same arguments always give the same samples.

    Args:
        text: what to say.
        voice: accent and variant, such as `en-us+f2`.
        rate: words per minute, 80 to 450.
        pitch: 0 to 99, around the pitch of the variant.
        pitch_range: 0 (monotone) to 99.
        seed: of the breath noise in the voice.

    Raises:
        UserError: the package is missing or damaged.
        ValueError: no such voice.
    """
    # The phases of flutter, echo and glottal wave run on from one utterance to the next, and are not reset by
    # espeak_Initialize. A freshly loaded library costs 0.3 ms and makes this a function of its arguments.
    library, sample_rate = _open()
    blocks: list[bytes] = []
    events: list[Event] = []

    def receive(wave: "ctypes._Pointer", count: int, event: "ctypes._Pointer") -> int:
        if wave and count:
            blocks.append(ctypes.string_at(wave, 2 * count))
        index = 0
        while event[index].type != _END:
            one = event[index]
            if one.type == _WORD:
                events.append(Event("word", one.sample, "", one.text_position - 1))
            elif one.type == _PHONEME:
                label = bytes(one.id.string).decode("utf-8", "replace")
                events.append(Event("phoneme", one.sample, label, one.text_position - 1))
            index += 1
        return 0

    callback = _Callback(receive)
    try:
        library.espeak_SetSynthCallback(callback)
        library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice}")
        for parameter, value in ((_RATE, rate), (_VOLUME, 100), (_PITCH, pitch), (_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, int(value), 0)
        data = text.encode() + b"\0"
        status = library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, _UTF8, None, None)
        if status != 0:
            raise RuntimeError(f"eSpeak NG ended with status {status} on {text!r}")
        library.espeak_Synchronize()
    finally:
        _close(library)
    samples = np.frombuffer(b"".join(blocks), dtype=np.int16).astype(np.float32) / 32768
    return Speech(samples, sample_rate, events)
