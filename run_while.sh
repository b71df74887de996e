#!/usr/bin/env bash
# Run a command again and again until it succeeds, 100 times at most; with -a a training run survives crashes.
#
#   ./run_while.sh python run_downstream.py -a -m train -u fbank -d asr -n my_run
#
# One quoted string of several commands is given to bash, and repeated whatever its exit code:
#
#   ./run_while.sh "./downstream/sv_voxceleb1/test_expdirs.sh result/downstream/my_run; sleep 1800;"
#
# A command that fails within 5 seconds, several times in a row, is tried again after 1, 2, 4, ... 60 seconds.
# Ctrl-C stops the loop.

readonly most_runs=100 at_once=5 longest_pause=60

if [ $# -eq 0 ]; then
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 2
fi

command=("$@")
repeat=no
if [ $# -eq 1 ] && ! command -v -- "$1" >/dev/null; then
    command=(bash -c "$1")
    case $1 in *[\;\&\|]* | *$'\n'*) repeat=yes ;; esac
fi

stopped=no
trap 'stopped=yes' INT TERM
pause=0
for ((run = 1; run <= most_runs; run++)); do
    started=$SECONDS
    "${command[@]}"
    status=$?
    if [ $stopped = yes ] || [ $status -eq 130 ]; then
        echo "[run_while] Stopped during run $run." >&2
        exit 130
    fi
    if [ $repeat = no ] && [ $status -eq 0 ]; then
        exit 0
    fi
    [ $run -lt $most_runs ] || break
    if [ $status -ne 0 ]; then
        if ((SECONDS - started < at_once)); then
            pause=$((pause == 0 ? 1 : pause * 2 > longest_pause ? longest_pause : pause * 2))
        else
            pause=0
        fi
        echo "[run_while] Run $run of $most_runs ended with exit code $status; the next starts in $pause s." >&2
        sleep "$pause"
        [ $stopped = no ] || exit 130
    fi
done
echo "[run_while] Gave up after $most_runs runs (last exit code $status)." >&2
exit "$status"
