#!/bin/sh
# Do more examples help, when only the small sets get three passes?
# Qwen2.5-Math-1.5B and GSM8K, one GPU, or two with GPUS=2.
# Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/qwen_runs.sh"
workspace size-table

plan "$experiments/size_table/criteria.toml"
for size in 128 256 512 1024 full; do in_table "$size" "$@"; done
report compare --group table
report compare --criteria "$experiments/size_table/criteria.toml"
