#!/usr/bin/env bash
# Run a command again and again until it succeeds, 100 times at most; with -a a training run survives crashes.
#
#   ./run_while.sh python run_downstream.py -a -m train -u fbank -d asr -n my_run
#
# One quoted string of several commands is given to bash, and repeated whatever its exit code:
#
#   ./run_while.sh "./downstream/sv_voxceleb1/test_expdirs.sh result/downstream/my_run; sleep 1800;"
#
# The next run starts after 5 seconds (S3PRL_RESTART_PAUSE sets another number); where a command fails within 5
# seconds, several times in a row, after 5, 10, 20, ... 60 seconds. What trying again cannot mend ends the loop:
# exit code 2 (a mistake, told by the command), 126 (not executable) and 127 (not found). So does Ctrl-C. Behind
# torchrun mistakes are repeated too: its exit code is 1 whatever happened.

readonly most_runs=100 at_once=5 longest_pause=60 shortest_pause=${S3PRL_RESTART_PAUSE:-5}

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

give_up() {
    echo "[run_while] Exit code $1: $2. Running it again would not help." >&2
    exit "$1"
}

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
    if [ $repeat = no ]; then
        case $status in
            0) exit 0 ;;
            2) give_up 2 "the command has told a mistake to mend" ;;
            126) give_up 126 "${command[0]} cannot be executed" ;;
            127) give_up 127 "${command[0]} was not found" ;;
        esac
    fi
    [ $run -lt $most_runs ] || break
    if [ $status -ne 0 ] && ((SECONDS - started < at_once)); then
        pause=$((pause == 0 ? shortest_pause : pause * 2 > longest_pause ? longest_pause : pause * 2))
    else
        pause=$shortest_pause
    fi
    if [ $status -ne 0 ]; then
        echo "[run_while] Run $run of $most_runs ended with exit code $status; the next starts in $pause s." >&2
    fi
    sleep "$pause"
    [ $stopped = no ] || exit 130
done
echo "[run_while] Gave up after $most_runs runs (last exit code $status)." >&2
exit "$status"
