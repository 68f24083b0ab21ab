# The runs of Qwen2.5-Math-1.5B that several experiments need. Sourced by each qwen.sh, which says
# where this folder is: $experiments. MODEL and DATA name local folders where the hub is not
# reachable. GPUS=2 trains each fine-tuning on two; other kinds of runs use one GPU, so with two
# of them start a second experiment on the other (CUDA_VISIBLE_DEVICES=1).
. "$experiments/common.sh"
MODEL="${MODEL:-Qwen/Qwen2.5-Math-1.5B}"
DATA="${DATA:-gsm8k}"
ROLLOUT_BATCH="${ROLLOUT_BATCH:-256}"

# tune NAME OPTIONS...: fine-tuning.
tune() {
    called=$1
    shift
    once "$called" sft --model "$MODEL" --data "$DATA" --gpus "${GPUS:-1}" --lr 2e-5 \
        --batch-size 32 --set evaluation.at_start=false "$@"
}

# sample NAME KIND OPTIONS...: learning from rollouts of the base, or of the run that INIT names.
sample() {
    called=$1 kind=$2
    shift 2
    if [ -n "${INIT:-}" ]; then
        once "$called" "$kind" --init "$INIT" --data "$DATA" "$@"
    else
        once "$called" "$kind" --model "$MODEL" --data "$DATA" "$@"
    fi
}

# policy NAME OPTIONS...: GRPO, on-policy and with a baseline unless the options differ.
policy() {
    called=$1
    shift
    sample "$called" grpo --steps "${STEPS:-200}" --rollout-batch "$ROLLOUT_BATCH" \
        --group-size 8 --lr 1e-5 --schedule constant --loss reinforce_with_baseline \
        --eval-every 20 "$@"
}

# Options that make sixteen updates of a batch.
SIXTEEN="--train-batch $((ROLLOUT_BATCH / 4)) --epochs-per-rollout 4 --eval-every 320"
