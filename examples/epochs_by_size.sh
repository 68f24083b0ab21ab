#!/bin/sh
# Small sets got three passes, large ones one: is it the size that helps, or the number of updates?
# The last two runs hold the updates equal. About 12 minutes on two cores.
set -eu
export A5CTL_HOME="${A5CTL_HOME:-$(mktemp -d "$PWD/epochs-by-size-XXXX")}"

run() { a5ctl run sft --set evaluation.at_start=false --quiet "$@"; }
run --size 128,256 --epochs 3 --group epochs-by-size "$@"
run --size 512,1024,full --epochs 1 --group epochs-by-size "$@"
run --size 128,1024 --steps 64 --group equal-updates "$@"
a5ctl compare --group epochs-by-size
a5ctl compare --group equal-updates
