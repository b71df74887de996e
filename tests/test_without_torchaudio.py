"""A torchaudio that cannot be loaded, being built for another PyTorch, stands in nobody's way."""

import os
import subprocess
import sys

import numpy as np
import soundfile
from conftest import ROOT, tiny

EVERYTHING = """
import sys
try:
    import torchaudio
except OSError:
    pass
else:
    sys.exit("torchaudio should not load here")
import torch
torch.set_num_threads(1)
import run_downstream
from s3prl import hub
from s3prl.upstream import check, extract, list as listing
from s3prl.upstream.common.transformers.library import transformers

assert listing.main([]) == 0
assert extract.main(["-u", "mel", "--input", "a.wav", "--output", "out", "--device", "cpu"]) == 0
train = ["-m", "train", "-u", "fbank", "-d", "example", "-p", "run", "--device", "cpu", "-o", sys.argv[1]]
assert run_downstream.main(train) == 0
config = transformers.WavLMConfig(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
    conv_stride=(5, 2), conv_kernel=(10, 3), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
)
transformers.WavLMModel(config)(torch.randn(1, 1600))
transformers.WhisperFeatureExtractor()(torch.randn(1600).numpy(), sampling_rate=16000)
"""


def test_listing_extracting_training_and_transformers_need_no_torchaudio(tmp_path):
    broken = tmp_path / "broken" / "torchaudio"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise OSError('libtorchaudio.so: undefined symbol')")
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 16000)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(broken.parent), str(ROOT)])}
    result = subprocess.run(
        [sys.executable, "-c", EVERYTHING, tiny(total_steps=1)],
        cwd=tmp_path, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
