#!/bin/sh
# GRPO: does the mean of the group as a baseline help over the bare reward?
# Qwen2.5-Math-1.5B and GSM8K, one GPU. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace grpo-baselines

policy policy "$@"
policy policy-no-baseline --loss no_baseline "$@"
report compare $(seeds_of policy policy-no-baseline) --baseline policy
