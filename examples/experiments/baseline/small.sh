#!/bin/sh
# What does the untrained model answer, under three prompts and their graders?
# About 2 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace baseline

once base-think-answer eval "$@"
once base-question-only eval --prompt question_only "$@"
once base-plain eval --prompt "$experiments/../plain.prompt" --grader lenient "$@"
report compare base-think-answer base-question-only base-plain
report diagnose base-think-answer
