#!/bin/sh
# What does the untrained model answer, under three prompts and their graders?
# Qwen2.5-Math-1.5B and GSM8K, one GPU. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace baseline

once base-think-answer eval --model "$MODEL" --data "$DATA" "$@"
once base-question-only eval --model "$MODEL" --data "$DATA" --prompt question_only "$@"
once base-plain eval --model "$MODEL" --data "$DATA" \
    --prompt "$experiments/../plain.prompt" --grader lenient "$@"
report compare base-think-answer base-question-only base-plain
report diagnose base-think-answer
