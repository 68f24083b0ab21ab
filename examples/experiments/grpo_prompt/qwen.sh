#!/bin/sh
# GRPO: what does the prompt decide, when each prompt has the grader that reads its answers?
# Qwen2.5-Math-1.5B and GSM8K, one GPU. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace grpo-prompt

policy policy "$@"
policy policy-boxed --prompt question_only "$@"
policy policy-plain --prompt "$experiments/../plain.prompt" --grader lenient \
    --train-grader lenient "$@"
for name in policy policy-boxed policy-plain; do report compare --lineage "$name"; done
