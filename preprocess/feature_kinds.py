"""The acoustic features that can be prepared, as configs of the front end of `-u fbank` and its neighbours.

    fbank    80 mel filter bank energies (Kaldi)        25 ms every 10 ms
    mfcc     13 cepstral coefficients (Kaldi)           25 ms every 10 ms
    mel      80 log mel energies of a centred STFT      50 ms every 12.5 ms
    linear   1025 log power spectra of a centred STFT   50 ms every 12.5 ms

Deltas, and deltas of deltas, double and treble these sizes.
"""

from typing import Any

from s3prl.upstream.features.pipeline import KaldiPipeline
from s3prl.upstream.features.stft import StftFeatures
from s3prl.utility.config import load_yaml
from s3prl.utility.paths import ROOT
from s3prl.utility.typed import choice

KINDS = ("mfcc", "fbank", "mel", "linear")
OF_MOCKINGJAY = {
    "win_ms": 50,
    "hop_ms": 12.5,
    "n_freq": 1025,
}  # of mel and linear, for the models of the Mockingjay paper

Front = KaldiPipeline | StftFeatures


def feature_config(kind: str, order: int = 0, cmvn: bool = True) -> dict[str, Any]:
    """The config of a feature, as `features_from_config` takes it.

    Args:
        kind: one of KINDS.
        order: 1 appends deltas, 2 deltas of deltas too.
        cmvn: zero mean and unit variance over each utterance.

    Raises:
        UserError: no such feature.
    """
    config = load_yaml(ROOT / "upstream" / "baseline" / f"{choice(kind, KINDS, '--feature_type')}.yaml")
    if "kaldi" in config:
        config["delta"]["order"] = order
        config["cmvn"]["use_cmvn"] = cmvn
    else:
        config |= OF_MOCKINGJAY
        config["input"] |= {"delta": order, "cmvn": cmvn}
    return config


def first_centre(front: Front) -> float:
    """Samples from the beginning of a recording to the centre of its first frame."""
    if isinstance(front, StftFeatures):
        return 0.0
    options = front.base.options
    return (options.window if options.snip_edges else options.shift) / 2
