"""What an upstream offers that knows the features of recordings, in place of computing them from waves."""

from collections.abc import Mapping
from typing import Any, Protocol

from s3prl.utility.recordings import Recording


class Source(Protocol):
    """Finds what the upstream is called with; see baseline/ready.py."""

    def look_up(self, recording: Recording) -> Any:
        """What a loading worker puts in the place of a recording; its length is that in samples.

        Raises:
            AudioError: it has nothing, or nothing usable, of this recording.
        """

    def example(self, samples: int) -> Any:
        """What `look_up` could return for a recording of so many samples."""

    def check(self, split: str, recordings: Mapping[Recording, int], skip: bool) -> None:
        """Find out whether a split can be used, before anything long begins.

        Args:
            split: its name, for messages.
            recordings: of the split, with their lengths in samples; 0 where not known.
            skip: whether the run leaves out recordings without features.

        Raises:
            UserError: it cannot.
        """
