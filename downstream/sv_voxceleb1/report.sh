#!/usr/bin/env bash
# Print the EERs of the checkpoints that have been evaluated; the lowest is at the bottom.
#
#   ./downstream/sv_voxceleb1/report.sh result/downstream/NAME

exec python3 "$(dirname "$0")/evaluate_checkpoints.py" --report "$@"
