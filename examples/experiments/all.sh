#!/bin/sh
# Run the small variants of all experiments in one workspace, two at a time on a core each, and
# write docs/results.md from what came out. Stop it (Ctrl-C) and start it again: it goes on where it was.
#     A5CTL_HOME=my-lab sh examples/experiments/all.sh
set -eu
experiments=$(dirname "$0")
export A5CTL_HOME="${A5CTL_HOME:-$PWD/experiments-lab}"
. "$experiments/builtin_runs.sh"

mkdir -p "$A5CTL_HOME"
plan "$experiments/size_table/criteria.toml"
plan "$experiments/abc_plan/criteria.toml"
start # both lanes need it
# Runs that experiments share are made within one lane, so that none is made twice.
tuned="size_table baseline sft_sizes filtered_sft ei_sweep abc_plan"
sampled="grpo_learning_rate grpo_baselines grpo_std_normalization grpo_length_normalization"
sampled="$sampled grpo_off_policy grpo_clip grpo_prompt"
failed=0
printf '%s\n' "$tuned" "$sampled" | xargs -P 2 -L 1 sh "$experiments/record.sh" || failed=$?
python "$experiments/results.py"
exit "$failed"
