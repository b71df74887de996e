"""The ASR task on top of models of every kind of family: trains, its loss falls, it resumes."""

from pathlib import Path

import pytest
from conftest import ROOT, metrics
from tones import make_corpus

DATA = ROOT / "tests" / "data"
CHECKPOINTS = {
    "tera_local": "tera/ckpt.ckpt",
    "cpc_local": "cpc/ckpt.pt",
    "wav2vec2_local": "wav2vec2_base/ckpt_fairseq.pt",
    "hubert_local": "hubert_base/ckpt_fairseq.pt",
    "m2d": "m2d_speech/m2d_s_vit_base-80x48p80x2-golden/checkpoint-1.pth,-10.57,4.37",
}
FIELDS = {
    "config.runner.eval_step": 100, "config.runner.save_step": 6, "config.runner.log_step": 3,
    "config.scheduler.num_warmup_steps": 1,
    "config.downstream_expert.datarc.libri_root": "corpus",
    "config.downstream_expert.datarc.bucket_file": "corpus/len_for_bucket",
    "config.downstream_expert.datarc.train_batch_size": 4, "config.downstream_expert.datarc.num_workers": 0,
    "config.downstream_expert.modelrc.project_dim": 32, "config.downstream_expert.modelrc.RNNs.dim": [32, 32],
    "config.downstream_expert.modelrc.RNNs.total_rate": -1,
}  # fmt: skip


@pytest.mark.parametrize("upstream", CHECKPOINTS)
def test_a_run_trains_and_resumes(upstream, downstream, workdir):
    make_corpus(workdir / "corpus", {"train-clean-100": 12, "dev-clean": 4})
    expdir = Path("result/downstream/run")

    def train(steps):
        fields = ",,".join(f"{field}={value!r}" for field, value in FIELDS.items())
        return downstream(
            *(
                "-a",
                "-m",
                "train",
                "-u",
                upstream,
                "-k",
                DATA / CHECKPOINTS[upstream],
                "-d",
                "asr",
                "-n",
                "run",
            ),
            *("-c", "downstream/asr/mini.yaml", "-o", f"{fields},,config.runner.total_steps={steps}"),
        )

    assert train(12) == 0
    assert train(24) == 0
    losses = [line["loss"] for line in metrics(expdir) if line["split"] == "train"]
    assert len(losses) == 8, "the second run goes on where the first one ended"
    assert losses[-1] < 0.8 * losses[0]
