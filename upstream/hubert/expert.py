"""HuBERT from its published files."""

from ..common.fairseq_format.expert import FairseqUpstream
from ..common.transformers.adapter import EvenSplitUpstream


class UpstreamExpert(FairseqUpstream, EvenSplitUpstream):
    """HuBERT (Hsu et al., TASLP 2021)."""

    family = "hubert"
    architecture = "Hubert"
