"""Error rates of a split from per-utterance edit counts, and the texts they were counted on.

WER and CER compare the texts (CER counts the blank between words as a character). UER, the metric of the
public S3PRL, compares output symbols with their word boundaries, the last one included.
"""

from collections.abc import Sequence
from pathlib import Path

from .ark import write_ark
from .characters import spell, words_of
from .error_rate import edits, error_rate

Records = dict[str, list]
LM = "lm_"  # what beam search adds to the records


def score_units(transcript: str, units: Sequence[str], records: Records) -> str:
    """Record the edits between a transcript and greedily decoded symbols; returns the decoded text."""
    text = " ".join(words_of(units))
    score_text(transcript, text, records)
    reference = spell(transcript)
    records["unit_errors"].append(edits(reference, units))
    records["units"].append(len(reference))
    return text


def score_text(transcript: str, text: str, records: Records, prefix: str = "") -> None:
    """Record the word and character edits between a transcript and a decoded text."""
    reference, hypothesis = transcript.split(), text.split()
    records[f"{prefix}word_errors"].append(edits(reference, hypothesis))
    records[f"{prefix}words"].append(len(reference))
    reference, hypothesis = " ".join(reference), " ".join(hypothesis)
    records[f"{prefix}char_errors"].append(edits(reference, hypothesis))
    records[f"{prefix}chars"].append(len(reference))


def error_rates(records: Records) -> dict[str, float]:
    """Percentages over everything recorded: wer, cer, uer, and lm-wer, lm-cer after beam search."""
    rates = {
        "wer": error_rate(records["word_errors"], records["words"]),
        "cer": error_rate(records["char_errors"], records["chars"]),
        "uer": error_rate(records["unit_errors"], records["units"]),
    }
    if records[f"{LM}words"]:
        rates["lm-wer"] = error_rate(records[f"{LM}word_errors"], records[f"{LM}words"])
        rates["lm-cer"] = error_rate(records[f"{LM}char_errors"], records[f"{LM}chars"])
    return rates


def write_texts(expdir: Path, split: str, records: Records) -> None:
    """Write `<split>-{noLM,LM}-{hyp,ref}.ark`, and `<split>-LM-nbest.ark` (score and text) when asked for."""
    names, references = records["name"], records["ref"]
    for kind, prefix in (("noLM", ""), ("LM", LM)):
        if hypotheses := records[f"{prefix}hyp"]:
            write_ark(expdir / f"{split}-{kind}-hyp.ark", dict(zip(names, hypotheses, strict=True)))
            write_ark(expdir / f"{split}-{kind}-ref.ark", dict(zip(names, references, strict=True)))
    if any(len(hypotheses) > 1 for hypotheses in records[f"{LM}nbest"]):
        ranked = {
            f"{name}-{rank:03d}": f"{score:.4f} {text}"
            for name, hypotheses in zip(names, records[f"{LM}nbest"], strict=True)
            for rank, (text, score) in enumerate(hypotheses, start=1)
        }
        write_ark(expdir / f"{split}-LM-nbest.ark", ranked)
