"""Who speaks in a mini corpus: hundreds of distinguishable voices, each a function of a seed and a number."""

from dataclasses import dataclass

import numpy as np

# Variants that could be people: whispering, croaking and robot voices are left out, and so are those that
# move one of the three lowest formants without the others or stretch the syllables by their stress.
_VARIANTS = {
    "F": "f1 f2 f3 f4 f5 Annie aunty belinda linda steph steph2 steph3",
    "M": "m1 m2 m3 m4 m6 m7 m8 Alex Denis Diogo Gene Gene2 Henrique Hugo Mario Mike Nguyen ed iven iven2 "
    "iven3 john max michel miguel pablo paul quincy robert sandro victor",
}

# Accents and how often each occurs.
_ACCENTS = {"en-us": 0.7, "en-us-nyc": 0.1, "en-gb-x-rp": 0.1, "en-gb-scotland": 0.05, "en-gb-x-gbclan": 0.05}


@dataclass(frozen=True)
class Speaker:
    """A voice and the microphone it is recorded with."""

    number: int
    sex: str  # "F" or "M"
    accent: str  # voice of eSpeak NG
    variant: str
    rate: int  # words per minute
    pitch: int  # 0 to 99, around the pitch of the variant
    pitch_range: int  # 0 (monotone) to 99
    tract: float  # formants are scaled by it: above 1 for a short vocal tract
    level: float  # of the speech, dB below full scale (RMS)
    noise: float  # of the room, dB below full scale (RMS)
    seed: int  # of everything that varies from one utterance to the next

    @property
    def voice(self) -> str:
        """Name for eSpeak NG, such as `en-us+f2`."""
        return f"{self.accent}+{self.variant}"


def make_speaker(seed: int, number: int, sex: str | None = None, accent: str | None = None) -> Speaker:
    """The speaker of that number.

    Even numbers are female and odd ones male, and accents are drawn at random, unless `sex` or `accent`
    says otherwise.
    """
    sex = sex or "FM"[number % 2]
    variants = _VARIANTS[sex].split()
    # Neighbours in number get different variants: the variants are dealt like a shuffled deck.
    turn, place = divmod(number // 2, len(variants))
    variant = variants[np.random.default_rng([seed, turn, ord(sex)]).permutation(len(variants))[place]]
    rng = np.random.default_rng([seed, number, ord(sex), 1])
    drawn = str(rng.choice(list(_ACCENTS), p=list(_ACCENTS.values())))
    return Speaker(
        number=number,
        sex=sex,
        accent=accent or drawn,
        variant=variant,
        rate=int(rng.integers(160, 206)),
        pitch=int(rng.integers(30, 71)),
        pitch_range=int(rng.integers(30, 81)),
        tract=float(rng.uniform(0.92, 1.09)),
        level=float(rng.uniform(-29.0, -21.0)),
        noise=float(rng.uniform(-70.0, -55.0)),
        seed=int(rng.integers(2**31)),
    )
