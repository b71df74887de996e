#!/usr/bin/env bash
# The diarization error rate of an experiment; the lowest of all thresholds and filters is at the bottom.
#
#   ./downstream/diarization/score.sh result/downstream/libri2mix_diar downstream/diarization/data/test
#
# Options, such as --collar 0.25, may follow; -h shows them.
exec python3 "$(dirname -- "${BASH_SOURCE[0]}")/score.py" "$@"
