#!/bin/sh
# Run small variants one after the other, and keep what each reports in its outcome.txt:
#     sh examples/experiments/record.sh grpo_clip grpo_prompt
# One that has an outcome is left alone unless FORCE=1. Runs that are finished in the workspace are
# not made again, so a record that was stopped goes on where it was.
set -eu
experiments=$(dirname "$0")
export A5CTL_HOME="${A5CTL_HOME:-$PWD/experiments-lab}"

failed=0
for name; do
    outcome=$experiments/$name/outcome.txt
    if [ -s "$outcome" ] && [ -z "${FORCE:-}" ]; then
        echo "$name: recorded before"
        continue
    fi
    echo "$name: begins"
    mkdir -p "$A5CTL_HOME"
    : >"$A5CTL_HOME/$name.outcome"
    ended=0
    OUTCOME=$A5CTL_HOME/$name.outcome sh "$experiments/$name/small.sh" || ended=$?
    if [ "$ended" -gt 128 ]; then exit "$ended"; fi # stopped by a signal
    if [ "$ended" -eq 0 ]; then
        mv "$A5CTL_HOME/$name.outcome" "$outcome"
        echo "$name: recorded"
    else
        echo "$name: failed, exit code $ended" >&2
        failed=1
    fi
done
exit "$failed"
