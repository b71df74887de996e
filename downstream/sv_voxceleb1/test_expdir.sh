#!/usr/bin/env bash
# Evaluate the checkpoints of one training that have not been evaluated, and print the table of their EERs.
#
#   ./downstream/sv_voxceleb1/test_expdir.sh result/downstream/NAME [VoxCeleb1] [options]
#
# Options are those of evaluate_checkpoints.py: --every 20000, --device cuda:1, ...

if [ $# -eq 0 ]; then
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 2
fi
expdir=$1
shift
case ${1:--} in -*) ;; *) set -- --corpus "$@" ;; esac
exec python3 "$(dirname "$0")/evaluate_checkpoints.py" "$expdir" "$@"
