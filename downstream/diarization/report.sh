#!/usr/bin/env bash
# Print again what score.sh has found.
#
#   ./downstream/diarization/report.sh result/downstream/libri2mix_diar
report=${1:-EXPDIR}/scoring/report.txt
if [ ! -f "$report" ]; then
    echo "Error: there is no $report. Score first: $(dirname -- "${BASH_SOURCE[0]}")/score.sh ${1:-EXPDIR} TEST_DIR" >&2
    exit 2
fi
cat -- "$report"
