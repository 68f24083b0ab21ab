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
plain="--prompt $experiments/../plain.prompt --grader lenient"
once base-plain eval $plain "$@"
policy policy-plain $plain --train-grader lenient "$@"
report compare --lineage policy
report compare --lineage policy-boxed
report compare $(seeds_of policy policy-boxed policy-plain) base-plain
