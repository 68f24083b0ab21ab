#!/bin/sh
# What do more examples buy, each size with the passes that suit it?
# Qwen2.5-Math-1.5B and GSM8K, one GPU, or two with GPUS=2.
# Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace sft-sizes

for size in 128 256 512 1024 full; do
    case $size in 128 | 256) epochs=6 ;; 512 | 1024) epochs=3 ;; *) epochs=2 ;; esac
    tune "sizes-$size" --size "$size" --epochs "$epochs" --group sizes "$@"
done
report compare --group sizes
