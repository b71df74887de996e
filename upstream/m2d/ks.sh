#!/bin/sh
# Keyword spotting (Speech Commands): ks.sh GPU UPSTREAM CHECKPOINT SEED
task=KS
lr=1e-4
statistics=-11.506255149841309,4.314857482910156
. "$(dirname "$0")/superb.sh"

benchmark "$expbase" -d speech_commands -o "config.optimizer.lr=$lr"
