#!/bin/sh
# Half of the targets are flawed: is it better to train on all of them, or on the good half?
# Qwen2.5-Math-1.5B and GSM8K, one GPU, or two with GPUS=2.
# Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace filtered-sft

python "$experiments/../flawed_targets.py" half "$DATA" "$A5CTL_HOME/flawed"
set -- --data "$A5CTL_HOME/flawed" --eval-data "$DATA" --group filters "$@"
tune filter-none --epochs 2 "$@"
tune filter-correct --epochs 2 --filter correct "$@"
tune filter-correct-longer --epochs 4 --filter correct "$@"
report compare $(seeds_of filter-none filter-correct filter-correct-longer) --baseline filter-none
report diagnose filter-none
