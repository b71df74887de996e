"""How features made ready were made: settings.json of their folder, for the checkpoint of what reads them."""

from collections.abc import Mapping
from typing import Any

from s3prl.upstream.features.pipeline import KaldiPipeline
from s3prl.utility.errors import UserError
from s3prl.utility.paths import find_path
from s3prl.utility.settings import front_of, read_settings


def audio_of_folder(file_path: str) -> dict[str, Any] | None:
    """The front end that a folder of features was made with; None where the folder does not describe it.

    Raises:
        UserError: settings.json cannot be read.
    """
    return front_of(read_settings(find_path(file_path)))


def as_data_audio(audio: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A block `audio` of Kaldi features as the block `data.audio` of APC and NPC.

    Args:
        where: how to name the features in an error.

    Raises:
        UserError: that block cannot describe them.
    """
    made = "kaldi" in audio and KaldiPipeline(audio["kaldi"], audio.get("delta"), audio.get("cmvn"), where)
    if not made or made.order:
        what = "deltas" if made else "spectra of an STFT"
        raise UserError(
            f"{where} holds {what}, but APC and NPC read Kaldi features without deltas: their checkpoints "
            "cannot describe others. Make such features (preprocess_any.py --feature_type fbank), or train "
            "-u tera on these."
        )
    kind = audio["kaldi"].get("feat_type", "fbank")
    options = {"window_type": "povey", "num_mel_bins": 23, **(audio["kaldi"].get(kind) or {})}  # of Kaldi
    return {"feat_type": kind, "feat_dim": options.pop("num_mel_bins"), "cmvn": made.cmvn, **options}
