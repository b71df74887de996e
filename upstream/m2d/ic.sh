#!/bin/sh
# Intent classification (Fluent Speech Commands): ic.sh GPU UPSTREAM CHECKPOINT SEED
task=IC
lr=1e-3
statistics=-13.017439842224121,4.417759895324707
. "$(dirname "$0")/superb.sh"

benchmark "$expbase" -d fluent_commands -o "config.optimizer.lr=$lr"
