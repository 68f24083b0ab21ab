#!/bin/sh
# GRPO: which learning rate?
# Qwen2.5-Math-1.5B and GSM8K, one GPU. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace grpo-learning-rate

policy policy "$@"
policy policy-lr-1e-6 --lr 1e-6 "$@"
policy policy-lr-3e-6 --lr 3e-6 "$@"
policy policy-lr-3e-5 --lr 3e-5 "$@"
policy policy-lr-1e-4 --lr 1e-4 "$@"
report compare $(seeds_of policy policy-lr-1e-6 policy-lr-3e-6 policy-lr-3e-5 policy-lr-1e-4) \
    --baseline policy
report compare --lineage policy
