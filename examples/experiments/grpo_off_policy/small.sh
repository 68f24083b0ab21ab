#!/bin/sh
# GRPO: how many updates does a batch of rollouts bear?
# About 11 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace grpo-off-policy

start "$@"
policy policy "$@"
policy policy-2-updates --loss grpo_clip --train-batch "$((ROLLOUT_BATCH / 2))" "$@"
policy policy-4-updates --loss grpo_clip --train-batch "$((ROLLOUT_BATCH / 4))" "$@"
policy policy-16-updates $SIXTEEN --loss grpo_clip "$@"
report compare $(seeds_of policy policy-2-updates policy-4-updates policy-16-updates) \
    --baseline policy
