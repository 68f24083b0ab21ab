#!/bin/sh
# What do more examples buy, each size with the passes that suit it?
# About 10 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace sft-sizes

for size in 128 256 512 1024; do tune "sizes-$size" --size "$size" "$@"; done
in_table full "$@" # one pass suits all data, as in the size table
report compare $(seeds_of sizes-128 sizes-256 sizes-512 sizes-1024 table-full)
