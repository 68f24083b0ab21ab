#!/bin/sh
# GRPO: divide the loss of a response by its own length, by a constant, or by all tokens?
# Qwen2.5-Math-1.5B and GSM8K, one GPU. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace grpo-length-normalization

policy policy "$@"
policy policy-constant --length-normalization constant "$@"
policy policy-token-mean --length-normalization token_mean "$@"
report compare $(seeds_of policy policy-constant policy-token-mean) --baseline policy
