#!/bin/sh
# Do more examples help, when only the small sets get three passes?
# About 9 minutes on one core. Options are passed on to every `a5ctl run`.
set -eu
experiments=$(dirname "$0")/..
. "$experiments/builtin_runs.sh"
workspace size-table

plan "$experiments/size_table/criteria.toml"
for size in 128 256 512 1024 full; do in_table "$size" "$@"; done
report compare --group table
report compare --criteria "$experiments/size_table/criteria.toml"
