"""Phoneme mnemonics of eSpeak NG's English voices as the stressed ARPAbet of LibriSpeech's lexicon."""

SILENCE = "SIL"
UNKNOWN = "SPN"  # a sound that is no phone of the lexicon

_PAUSES = frozenset({"_", "_:", "_!", "_|", "_::", "_^_", "_X1", "_;_", "|", "||"})
_SILENT_MARKS = frozenset({"", ";", "-", "#X1"})  # palatalisation, linking: no sound of their own

_CONSONANTS = {
    **dict.fromkeys(("p", "b", "k", "f", "v", "s", "z", "m", "n", "w", "l", "g", "t", "d", "r"), ""),
    **{"t2": "T", "t#": "T", "?": "T", "t[": "TH", "d[": "DH", "d#": "D", "z#": "Z", "z/2": "Z", "w#": "W"},
    **{"l/": "L", "l/2": "L", "l/3": "L", "r-": "R", "r/": "R", "*": "R", "h": "HH", "j": "Y", "N": "NG"},
    **{"D": "DH", "T": "TH", "S": "SH", "Z": "ZH", "tS": "CH", "dZ": "JH", "x": "K", "C": "HH", "Q": "G"},
    **{"v#": "V", "X": "K"},
}

# Vowels that may carry stress; what follows the vowel (R, L, ...) has none.
_VOWELS = {
    **{
        "a": "AE",
        "aa": "AE",
        "a2": "AE",
        "a/": "AE",
        "A:": "AA",
        "A#": "AA",
        "0": "AA",
        "0#": "AA",
        "02": "AA",
    },
    **{"O": "AO", "O:": "AO", "O2": "AO", "o": "AO", "o:": "OW", "E": "EH", "E2": "EH", "e": "EH", "V": "AH"},
    **{
        "I": "IH",
        "i": "IY",
        "i:": "IY",
        "U": "UH",
        "u": "UW",
        "u:": "UW",
        "3:": "ER",
        "IR": "ER",
        "VR": "ER",
    },
    **{"aU": "AW", "oU": "OW", "oU#": "OW", "aI": "AY", "aI2": "AY", "eI": "EY", "e:": "EY", "OI": "OY"},
    **{"A@": "AA R", "O@": "AO R", "o@": "AO R", "e@": "EH R", "i@": "IY AH", "i@3": "IH R", "U@": "UH R"},
    **{"aI@": "AY AH", "aI3": "AY ER", "aU@": "AW ER", "A~": "AA N", "O~": "AO N"},
}

# Vowels that are reduced, whatever mark the mnemonic carries.
_REDUCED = {
    **dict.fromkeys(("@", "@2", "@5", "@-", "@#", "a#", "a#2"), "AH"),
    **dict.fromkeys(("I2", "I#", "I2#", "E#", "e#"), "IH"),
    **{"3": "ER", "@L": "AH L", "l-": "AH L", "m-": "AH M", "n-": "AH N", "N-": "AH NG"},
}

_ARPABET_VOWELS = frozenset(
    phone for vowel in (*_VOWELS.values(), *_REDUCED.values()) for phone in vowel.split()[:1]
)

STRESSED_ARPABET = tuple(
    sorted(
        {vowel + stress for vowel in _ARPABET_VOWELS for stress in "012"}
        | {phone or name.upper() for name, phone in _CONSONANTS.items()}
    )
)  # 69 phones


def to_arpabet(mnemonic: str) -> list[str]:
    """ARPAbet phones of one phoneme event: `["SIL"]` for a pause, none for a mark without a sound.

    A stress mark in front (`'` primary, `,` secondary) becomes the digit 1 or 2 of the vowel.
    """
    if mnemonic in _PAUSES:
        return [SILENCE]
    name = mnemonic.lstrip("',%=")
    if name in _SILENT_MARKS:
        return []
    if name in _CONSONANTS:
        return [_CONSONANTS[name] or name.upper()]
    stress = "1" if "'" in mnemonic else "2" if "," in mnemonic else "0"
    if name in _REDUCED:
        first, *rest = _REDUCED[name].split()
        return [first + "0", *rest]
    if name in _VOWELS:
        first, *rest = _VOWELS[name].split()
        return [first + stress, *(phone + "0" if phone in _ARPABET_VOWELS else phone for phone in rest)]
    return [UNKNOWN]
