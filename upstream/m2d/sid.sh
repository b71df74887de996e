#!/bin/sh
# Speaker identification (VoxCeleb1): sid.sh GPU UPSTREAM CHECKPOINT SEED
task=SID
lr=1e-3
statistics=-10.571271,4.3681135
. "$(dirname "$0")/superb.sh"

benchmark "$expbase" -d voxceleb1 -o "config.optimizer.lr=$lr"
