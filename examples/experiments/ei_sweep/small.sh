#!/bin/sh
# Expert Iteration: do more responses, more questions or more passes help?
# About 16 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace ei-sweep

start "$@"
learn_from_itself() {
    called=$1
    shift
    learn "$called" ei --init "$INIT" --ei-steps "${STEPS:-3}" --questions "${QUESTIONS:-256}" \
        --rollouts 8 --epochs 2 --lr 3e-4 "$@"
}
learn_from_itself sweep-base "$@"
learn_from_itself sweep-rollouts-2 --rollouts 2 "$@"
learn_from_itself sweep-questions-128 --questions "$((${QUESTIONS:-256} / 2))" "$@"
learn_from_itself sweep-epochs-1 --epochs 1 "$@"
report compare $(seeds_of sweep-base sweep-rollouts-2 sweep-questions-128 sweep-epochs-1) \
    --baseline sweep-base
report compare --lineage sweep-base
