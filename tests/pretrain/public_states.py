"""Run in a process of its own: hidden states of the public S3PRL for checkpoints, to compare ours with.

python public_states.py FOLDER_OF_S3PRL WAVS.pt OUTPUT.pt NAME=CHECKPOINT ...
"""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "upstream"))

import torch
from oracle import torchaudio_or_skip

if __name__ == "__main__":
    folder, wavs, output, *named = sys.argv[1:]
    torchaudio_or_skip()
    sys.path.insert(0, str(Path(folder).parent))
    result = {}
    for name, path in (one.split("=", 1) for one in named):
        module = importlib.import_module(f"s3prl.upstream.{name}.expert")
        expert = module.UpstreamExpert(path).eval()
        with torch.no_grad():
            result[name] = [list(expert([wav])["hidden_states"]) for wav in torch.load(wavs)]
    torch.save(result, output)
