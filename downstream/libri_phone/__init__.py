"""Phone classification by a bank of convolutions on LibriSpeech, whose posteriors are an upstream too."""
