#!/bin/sh
# GRPO: divide advantages by the standard deviation of their group, or not?
# Qwen2.5-Math-1.5B and GSM8K, one GPU. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace grpo-std-normalization

policy policy "$@"
policy policy-no-std --no-std-normalization "$@"
report compare $(seeds_of policy policy-no-std) --baseline policy
