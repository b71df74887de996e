# Sourced by the five scripts beside it, each of which sets `task`, `lr`, `statistics` (mean,std) and then calls
# `benchmark NAME OPTIONS`: train the task with the options, then test its best checkpoint.
set -eu

if [ $# -ne 4 ]; then
    echo "usage: $0 GPU UPSTREAM CHECKPOINT SEED, for example: $0 0 m2d /your/checkpoint-1000.pth 7" >&2
    exit 2
fi
gpu=$1
upmodel=$2
ckpt=$3
seed=$4

root=$(cd "$(dirname "$0")/../.." && pwd)
parent=$(basename "$(dirname "$ckpt")")
stem=$(basename "$ckpt")
stem=${stem%.*}
expbase=$parent-$stem-$task-lr$lr-s$seed

benchmark() {
    expname=$1
    shift
    echo "$expname"
    CUDA_VISIBLE_DEVICES=$gpu python "$root/run_downstream.py" -m train -n "$expname" -u "$upmodel" "$@" \
        -k "$ckpt,$statistics" --seed "$seed"
    CUDA_VISIBLE_DEVICES=$gpu python "$root/run_downstream.py" -m evaluate \
        -e "result/downstream/$expname/dev-best.ckpt"
}
