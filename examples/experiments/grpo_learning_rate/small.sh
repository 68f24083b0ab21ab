#!/bin/sh
# GRPO: which learning rate?
# About 10 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace grpo-learning-rate

start "$@"
policy policy "$@"
policy policy-lr-3e-5 --lr 3e-5 "$@"
policy policy-lr-1e-4 --lr 1e-4 "$@"
policy policy-lr-1e-3 --lr 1e-3 "$@"
report compare $(seeds_of policy policy-lr-3e-5 policy-lr-1e-4 policy-lr-1e-3) --baseline policy
report compare --lineage policy
