#!/bin/sh
# Expert Iteration: do more responses, more questions or more passes help?
# Qwen2.5-Math-1.5B and GSM8K, one GPU. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace ei-sweep

learn_from_itself() {
    called=$1
    shift
    sample "$called" ei --ei-steps "${STEPS:-5}" --questions "${QUESTIONS:-1024}" \
        --rollouts 8 --epochs 2 --lr 1e-5 "$@"
}
learn_from_itself sweep-base "$@"
learn_from_itself sweep-rollouts-2 --rollouts 2 "$@"
learn_from_itself sweep-questions-512 --questions "$((${QUESTIONS:-1024} / 2))" "$@"
learn_from_itself sweep-questions-2048 --questions "$((${QUESTIONS:-1024} * 2))" "$@"
learn_from_itself sweep-epochs-1 --epochs 1 "$@"
report compare $(seeds_of sweep-base sweep-rollouts-2 sweep-questions-512 \
    sweep-questions-2048 sweep-epochs-1) --baseline sweep-base
report compare --lineage sweep-base
