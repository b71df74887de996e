"""HuBERT from its published files."""

from ..fairseq_format.expert import FairseqUpstream
from ..hf.adapter import EvenSplitUpstream


class UpstreamExpert(FairseqUpstream, EvenSplitUpstream):
    """HuBERT (Hsu et al., TASLP 2021)."""

    family = "hubert"
    architecture = "Hubert"
