#!/bin/sh
# GRPO: how many updates does a batch of rollouts bear?
# Qwen2.5-Math-1.5B and GSM8K, one GPU. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace grpo-off-policy

policy policy "$@"
policy policy-2-updates --loss grpo_clip --train-batch "$((ROLLOUT_BATCH / 2))" --eval-every 40 "$@"
policy policy-4-updates --loss grpo_clip --train-batch "$((ROLLOUT_BATCH / 4))" --eval-every 80 "$@"
policy policy-16-updates $SIXTEEN --loss grpo_clip "$@"
report compare $(seeds_of policy policy-2-updates policy-4-updates policy-16-updates) \
    --baseline policy
