#!/bin/sh
# Emotion recognition (IEMOCAP), five folds: er.sh GPU UPSTREAM CHECKPOINT SEED
task=ER
lr=1e-5
statistics=-13.037399291992188,3.619741439819336
. "$(dirname "$0")/superb.sh"

for test_fold in fold1 fold2 fold3 fold4 fold5; do
    benchmark "$expbase-$test_fold" -d emotion -c downstream/emotion/config.yaml \
        -o "config.optimizer.lr=$lr,, config.downstream_expert.datarc.test_fold='$test_fold'"
done
