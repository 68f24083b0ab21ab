#!/bin/sh
# GRPO: what does the prompt decide, when each prompt has the grader that reads its answers?
# About 9 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace grpo-prompt

start "$@"
policy policy "$@"
# The boxed answer has to be learned first too; the plain prompt is the base's own.
one start-boxed sft --size 128 --prompt question_only --threads 1 \
    --set evaluation.at_start=false "$@"
INIT=start-boxed
policy policy-boxed "$@"
INIT=${A5CTL_MODEL:-builtin}
policy policy-plain --prompt "$experiments/../plain.prompt" --grader lenient \
    --train-grader lenient --set evaluation.at_start=true "$@"
for name in policy policy-boxed policy-plain; do report compare --lineage "$name"; done
