"""wav2vec as an upstream."""

from ..common.wav2vec.expert import Wav2VecExpert


class UpstreamExpert(Wav2VecExpert):
    """See common/wav2vec/expert.py."""

    family = "wav2vec"
