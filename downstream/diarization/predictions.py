"""Predictions as HDF5: the data set `T_hat`, [frames, speakers], the probability that a speaker speaks.

Those of a test set are `scoring/predictions/<recording>.h5` in the experiment folder, as the public S3PRL has
them; those of the development set, by which threshold and filter are chosen, are one file. The attributes of
a data set say what a frame is: without them, scoring would have to be told the upstream.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from s3prl.utility.audio import SAMPLE_RATE
from s3prl.utility.errors import UserError
from s3prl.utility.files import write_atomically

DATASET = "T_hat"
SCORING = "scoring"  # in the experiment folder
FOLDER = "predictions"  # in that
DEV_FILE = "predictions-dev.h5"
FRAME_SHIFT = "frame_shift"  # a file of the experiment folder


class Source(NamedTuple):
    """What predictions are of.

    Attributes:
        frame_shift: samples at 16 kHz between two frames, before `subsampling`.
        subsampling: of so many frames one has a prediction.
        step: updates that the model has been trained for; -1 where it is not known.
        data: the data folder.
    """

    frame_shift: int
    subsampling: int = 1
    step: int = -1
    data: str = ""

    @property
    def seconds(self) -> float:
        """From one prediction to the next."""
        return self.frame_shift * self.subsampling / SAMPLE_RATE


class Prediction(NamedTuple):
    """Probabilities [frames, speakers], and what they are of; None where the file does not say."""

    values: np.ndarray
    source: Source | None


def parse_frame_shift(content: bytes, where: object) -> int:
    """Samples between two frames, as an experiment folder keeps them.

    Args:
        where: the checkpoint or folder, for messages.

    Raises:
        UserError: it is no such file.
    """
    text = content.decode(errors="replace").strip()
    if not text.isdecimal() or int(text) < 1:
        raise UserError(
            f"The file {FRAME_SHIFT} of {where} is damaged: it holds {text[:40]!r}, not the samples between "
            "two frames, such as 160 or 320. Correct it."
        )
    return int(text)


def write_folder(folder: Path, predicted: Mapping[str, np.ndarray], source: Source) -> None:
    """Write `<recording>.h5` for each recording, float32, and remove those of other recordings."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in predicted.items():
        _write(folder / f"{name}.h5", {DATASET: values.astype(np.float32)}, source)
    kept = {f"{name}.h5" for name in predicted}
    for path in folder.glob("*.h5"):
        if path.name not in kept:
            path.unlink()


def write_file(path: Path, predicted: Mapping[str, np.ndarray], source: Source) -> None:
    """Write all recordings to one file, float16, each a data set of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, {name: values.astype(np.float16) for name, values in predicted.items()}, source)


def read_one(path: Path, frame_shift: int | None = None) -> Prediction:
    """The predictions of one recording.

    Args:
        frame_shift: what the file's frames are where it does not say so itself.

    Raises:
        UserError: it is no such file.
    """
    found = _read(path)
    if DATASET not in found:
        raise UserError(f"{path} has no data set {DATASET}: it holds no predictions of diarization.")
    prediction = found[DATASET]
    if prediction.source is None and frame_shift is not None:
        prediction = prediction._replace(source=Source(frame_shift))
    return prediction


def read_folder(folder: Path, frame_shift: int | None = None) -> dict[str, Prediction]:
    """The predictions of all recordings of a folder, sorted by name; see `read_one`."""
    return {path.stem: read_one(path, frame_shift) for path in sorted(folder.glob("*.h5"))}


def read_file(path: Path) -> dict[str, Prediction]:
    """The predictions that `write_file` has written.

    Raises:
        UserError: it is no such file.
    """
    return dict(sorted(_read(path).items()))


def _write(path: Path, arrays: Mapping[str, np.ndarray], source: Source) -> None:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values).attrs.update(source._asdict())
    write_atomically(path, lambda opened: opened.write(buffer.getbuffer()))


def _read(path: Path) -> dict[str, Prediction]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return {name: Prediction(values[:], _source(values.attrs)) for name, values in file.items()}
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is no HDF5 file of predictions, or is damaged ({error}).") from error


def _source(attributes: Mapping[str, Any]) -> Source | None:
    if "frame_shift" not in attributes:
        return None
    found = {name: attributes[name] for name in Source._fields if name in attributes}
    return Source(**{name: value if name == "data" else int(value) for name, value in found.items()})
