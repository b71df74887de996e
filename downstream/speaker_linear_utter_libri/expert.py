"""Who speaks an utterance of LibriSpeech, by a linear layer on its mean over time; accuracy."""

from ..common.configured import ConfiguredUtteranceTask
from ..common.libri_speaker import SpeakerTask


class DownstreamExpert(SpeakerTask, ConfiguredUtteranceTask):
    """A speaker for every utterance."""
