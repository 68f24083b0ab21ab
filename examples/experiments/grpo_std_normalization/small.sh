#!/bin/sh
# GRPO: divide advantages by the standard deviation of their group, or not?
# About 5 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace grpo-std-normalization

start "$@"
policy policy "$@"
policy policy-no-std --no-std-normalization "$@"
report compare $(seeds_of policy policy-no-std) --baseline policy
