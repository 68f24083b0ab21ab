#!/bin/sh
# Half of the targets are flawed: is it better to train on all of them, or on the good half?
# About 6 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace filtered-sft

python "$experiments/../flawed_targets.py" half builtin "$A5CTL_HOME/flawed"
set -- --data "$A5CTL_HOME/flawed" --eval-data builtin --size 1024 --group filters "$@"
tune filter-none --epochs 3 "$@"
tune filter-correct --epochs 3 --filter correct "$@"
tune filter-correct-longer --epochs 6 --filter correct "$@"
report compare $(seeds_of filter-none filter-correct filter-correct-longer) --baseline filter-none
report diagnose filter-none
