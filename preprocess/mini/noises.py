"""Background noises made of random numbers, in the spirit of the six of Speech Commands v0.01."""

from collections.abc import Callable

import numpy as np

from .synthesis import SAMPLE_RATE

_LEVEL = 0.05  # root mean square; full scale is 1
_PEAK = 0.98


def noise(name: str, seconds: float, seed: int) -> np.ndarray:
    """A noise of `NOISES`: float32 samples at 16 kHz in [-1, 1]; the same arguments give the same samples."""
    rng = np.random.default_rng([seed, *name.encode()])
    samples = NOISES[name](round(seconds * SAMPLE_RATE), rng)
    samples *= _LEVEL * rng.uniform(0.5, 2.0) / np.sqrt(np.mean(samples**2))
    return (samples * min(1.0, _PEAK / np.abs(samples).max())).astype(np.float32)


def _white(count: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=count)


def _shaped(count: int, rng: np.random.Generator, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """White noise whose spectrum is multiplied by `gain(frequencies in Hz)`."""
    frequencies = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    return np.fft.irfft(np.fft.rfft(rng.normal(size=count)) * gain(frequencies), count)


def _pink(count: int, rng: np.random.Generator) -> np.ndarray:
    return _shaped(count, rng, lambda hertz: 1 / np.sqrt(np.maximum(hertz, 20)))


def _water(count: int, rng: np.random.Generator) -> np.ndarray:
    """Hissing, strongest around 3 kHz, louder and softer several times a second."""
    hiss = _shaped(count, rng, lambda hertz: np.exp(-(((hertz - 3000) / 2000) ** 2)))
    knots = np.arange(0, count + 2000, 2000)
    return hiss * np.interp(np.arange(count), knots, rng.uniform(0.6, 1.4, size=len(knots)))


def _dishes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Clinks of plates, a few every second, above some water."""
    samples = 0.3 * _water(count, rng)
    samples /= np.sqrt(np.mean(samples**2)) * 5
    time = np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE
    for start in rng.integers(0, count, size=max(1, 3 * count // SAMPLE_RATE)):
        clink = sum(
            np.sin(2 * np.pi * rng.uniform(1500, 6000) * time) * np.exp(-time * rng.uniform(15, 60))
            for _ in range(4)
        )
        end = min(count, start + len(clink))
        samples[start:end] += rng.uniform(0.3, 1.0) * clink[: end - start]
    return samples


def _bike(count: int, rng: np.random.Generator) -> np.ndarray:
    """A hum, and a whoosh at every turn of the pedals."""
    time = np.arange(count) / SAMPLE_RATE
    turns = rng.uniform(1.2, 1.8)  # per second
    hum = sum(np.sin(2 * np.pi * rng.uniform(70, 90) * part * time) / part for part in (1, 2, 3))
    whoosh = _shaped(count, rng, lambda hertz: np.exp(-hertz / 900))
    whoosh /= np.sqrt(np.mean(whoosh**2))
    return 0.4 * hum + whoosh * (0.3 + np.maximum(0, np.sin(2 * np.pi * turns * time)) ** 4)


def _miaowing(count: int, rng: np.random.Generator) -> np.ndarray:
    """Somebody's miaows: a voice that rises and falls, with pauses between."""
    samples = rng.normal(0, 0.01, size=count)
    start = int(rng.integers(0, SAMPLE_RATE // 2))
    while start < count:
        length = int(rng.uniform(0.5, 1.0) * SAMPLE_RATE)
        place = np.linspace(0, 1, length)
        pitch = rng.uniform(280, 380) * (1 + 0.8 * np.sin(np.pi * place**0.7))
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        opening = 800 + 900 * np.sin(np.pi * place)  # Hz, where the harmonics are strongest
        miaow = sum(
            np.exp(-(((part * pitch - opening) / 700) ** 2)) * np.sin(part * phase) for part in range(1, 9)
        )
        end = min(count, start + length)
        samples[start:end] += (miaow * np.sin(np.pi * place))[: end - start]
        start = end + int(rng.uniform(0.2, 0.8) * SAMPLE_RATE)
    return samples


NOISES: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "doing_the_dishes": _dishes,
    "dude_miaowing": _miaowing,
    "exercise_bike": _bike,
    "pink_noise": _pink,
    "running_tap": _water,
    "white_noise": _white,
}
