#!/bin/sh
# Training on the answer alone, without the reasoning before it.
# About 5 minutes on two cores. Options are passed on to `a5ctl run`.
set -eu
export A5CTL_HOME="${A5CTL_HOME:-$(mktemp -d "$PWD/answer-only-XXXX")}"

run() { a5ctl run sft --size 256 --set evaluation.at_start=false --quiet "$@"; }
run --supervise response --name whole-response "$@"
run --supervise answer --name answer-only "$@"
a5ctl compare
a5ctl diagnose answer-only --examples 1
