"""vq-wav2vec as an upstream: wav2vec's network with a quantizer, which the checkpoint file describes."""

from ..common.wav2vec.expert import Wav2VecExpert


class UpstreamExpert(Wav2VecExpert):
    """See common/wav2vec/expert.py; `codewords` and `codeids` are the quantized frames and their numbers."""

    family = "vq_wav2vec"
