#!/bin/sh
# GRPO: does the mean of the group as a baseline help over the bare reward?
# About 5 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace grpo-baselines

start "$@"
policy policy "$@"
policy policy-no-baseline --loss no_baseline "$@"
report compare $(seeds_of policy policy-no-baseline) --baseline policy
