#!/bin/sh
# Does more data help? Four sizes, three seeds each, default settings.
# About 20 minutes on two cores. Options are passed on to `a5ctl run`.
set -eu
export A5CTL_HOME="${A5CTL_HOME:-$(mktemp -d "$PWD/size-curve-XXXX")}"

a5ctl run sft --size 128,256,512,1024 --seed 0,1,2 --group size-curve \
    --set evaluation.at_start=false --quiet "$@"
a5ctl compare --group size-curve
