#!/bin/sh
# A (warm-up and cosine), B (A on the answer alone), C (B at a lower rate): which one at which size?
# Qwen2.5-Math-1.5B and GSM8K, one GPU, or two with GPUS=2.
# Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace abc-plan

plan "$experiments/abc_plan/criteria.toml"
for size in 128 256 512 1024 full; do
    in_table "$size" "$@"
    cell "answer-$size" "$size" --supervise answer --group answer "$@"
    cell "answer-low-$size" "$size" --supervise answer --lr 5e-6 --group answer-low "$@"
done
report compare --group table
report compare --group answer
report compare --group answer-low
report compare --criteria "$experiments/abc_plan/criteria.toml"
