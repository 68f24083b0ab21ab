#!/bin/sh
# The same model, judged with a cap on response tokens that is too short.
# About 3 minutes on two cores. Options are passed on to `a5ctl run sft`.
set -eu
export A5CTL_HOME="${A5CTL_HOME:-$(mktemp -d "$PWD/short-cap-XXXX")}"

a5ctl run sft --size 256 --name trained --set evaluation.at_start=false --quiet "$@"
a5ctl run eval --run trained --max-tokens 64 --name short --quiet
a5ctl diagnose short --examples 1
a5ctl diagnose short --against trained --force --examples 1
