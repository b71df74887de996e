"""What happens to recordings that cannot be read: stop with their path, or leave them out and keep a list.

It is the same for every task: the loading workers read recordings (see `ReadRecordings`), and with
`--bad_audio skip` leave an unreadable one out of its batch. The runner weighs the batch by what is left and
writes the recording down in `bad_audio.tsv` of the experiment folder.
"""

import fcntl
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from s3prl.utility.audio import SAMPLE_RATE, AudioError
from s3prl.utility.errors import DroppedItem
from s3prl.utility.files import naming
from s3prl.utility.recordings import BAD_AUDIO, BadAudio, Recording, read
from s3prl.utility.typed import check_value


class ReadRecordings:
    """Turns an item `(recording, ...)` of a data set into `(wave, ...)`; any other item passes as it is."""

    def __init__(
        self, bad_audio: str = "error", read: Callable[[Recording], Any] = read, shortest: int = 1
    ) -> None:
        """
        Args:
            bad_audio: what to do with an unreadable recording, "error" or "skip".
            read: what takes the place of a recording; a cache may know its features already.
            shortest: samples that the upstream needs for a frame; a shorter recording is no use either.

        Raises:
            UserError: it is neither.
        """
        self.skip = check_value(bad_audio, Literal["error", "skip"], "--bad_audio") == "skip"
        self.read, self.shortest = read, shortest

    def __call__(self, item: Any) -> Any:
        """The item with its wave, float32 [samples] at 16 kHz, or what `read` gives.

        Raises:
            AudioError: the recording cannot be read and `bad_audio` is "error".
            DroppedItem: it cannot be read and is left out; the note is a BadAudio.
        """
        if not (isinstance(item, tuple | list) and item and isinstance(item[0], Recording)):
            return item
        recording = item[0]
        try:
            return (self._long_enough(recording, self.read(recording)), *item[1:])
        except AudioError as error:
            if not self.skip:
                raise AudioError(f"{error} (--bad_audio skip goes on without such recordings.)") from error
            reason = " ".join(str(error).split())
            raise DroppedItem(BadAudio(recording.name, recording.path, reason)) from error

    def _long_enough(self, recording: Recording, heard: Any) -> Any:
        """What was read, unless the upstream has no frame of it."""
        if len(heard) < self.shortest:
            length = f"{len(heard)} samples ({1000 * len(heard) / SAMPLE_RATE:g} ms)"
            raise AudioError(
                f"{recording.path} has {length}, but the upstream needs at least {self.shortest} for one "
                "frame. Remove it from the data, or lengthen it with silence."
            )
        return heard


class BadAudioList:
    """The file `<expdir>/bad_audio.tsv`: every skipped recording once, with the reason."""

    def __init__(self, expdir: str | Path | None) -> None:
        """
        Args:
            expdir: the experiment folder; None where no file can be written.
        """
        self.path = None if expdir is None else Path(expdir) / BAD_AUDIO
        self._listed: set[tuple[str, str]] = set()  # name and path: files of several folders share a name

    def add(self, notes: Iterable[BadAudio]) -> None:
        """List the recordings that are not there yet; several processes may do so at once."""
        new = {note[:2]: note for note in notes if note[:2] not in self._listed}
        if not new or self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with naming(self.path), self.path.open("a+", encoding="utf-8") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            file.seek(0)
            known = {tuple(line.split("\t")[:2]) for line in file}
            lines = [] if known else ["\t".join(BadAudio._fields)]
            lines += ["\t".join(note) for key, note in new.items() if key not in known]
            file.writelines(line + "\n" for line in lines)
        self._listed.update(new)

    def tell(self, split: str, notes: Iterable[BadAudio]) -> None:
        """Say on stderr how many recordings of a split were left out, if any, and where they are listed."""
        paths = sorted({note.path for note in notes})
        if paths:
            where = f"listed in {self.path}" if self.path else ", ".join(paths)
            tqdm.write(f"{split}: {len(paths)} unreadable recording(s) skipped, {where}", sys.stderr)
