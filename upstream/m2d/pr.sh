#!/bin/sh
# Phoneme recognition (LibriSpeech): pr.sh GPU UPSTREAM CHECKPOINT SEED
task=PR
lr=1e-3
statistics=-10.43253231048584,4.241369724273682
. "$(dirname "$0")/superb.sh"

benchmark "$expbase" -d ctc -c downstream/ctc/libriphone.yaml -o "config.optimizer.lr=$lr"
