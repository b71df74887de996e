#!/usr/bin/env bash
# Evaluate the checkpoints of several trainings that have not been evaluated, and print the tables of their EERs.
#
#   ./downstream/sv_voxceleb1/test_expdirs.sh result/downstream/NAME ... [options]
#
# Beside a training that is still running, this looks for new checkpoints every half an hour:
#
#   ./run_while.sh "./downstream/sv_voxceleb1/test_expdirs.sh result/downstream/NAME; sleep 1800;"

exec python3 "$(dirname "$0")/evaluate_checkpoints.py" "$@"
