#!/bin/sh
# GRPO: what does clipping do when a batch is used for sixteen updates?
# Qwen2.5-Math-1.5B and GSM8K, one GPU. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace grpo-clip

policy policy-16-updates $SIXTEEN --loss grpo_clip "$@"
policy policy-no-clip $SIXTEEN --loss grpo_no_clip "$@"
policy policy-clip-higher $SIXTEEN --loss grpo_clip --clip-high 0.28 "$@"
report compare $(seeds_of policy-16-updates policy-no-clip policy-clip-higher) \
    --baseline policy-16-updates
