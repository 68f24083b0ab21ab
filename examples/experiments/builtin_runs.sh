# The runs of the built-in model that several experiments need. Sourced by each small.sh, which says
# where this folder is: $experiments. One thread, so that two scripts fit on two cores.
. "$experiments/common.sh"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
ROLLOUT_BATCH="${ROLLOUT_BATCH:-128}"

# learn NAME KIND OPTIONS...: evaluated at the end only.
learn() {
    called=$1 kind=$2
    shift 2
    once "$called" "$kind" --threads 1 --set evaluation.at_start=false "$@"
}

# tune NAME OPTIONS...: fine-tuning.
tune() {
    called=$1
    shift
    learn "$called" sft "$@"
}

# start OPTIONS...: fine-tuning on 128 examples, which rollouts begin from. INIT=RUN brings another.
start() {
    if [ -n "${INIT:-}" ]; then return; fi
    one start-128 sft --size 128 --threads 1 --set evaluation.at_start=false "$@"
    INIT=start-128
}

# policy NAME OPTIONS...: GRPO from there, on-policy and with a baseline unless the options differ.
policy() {
    called=$1
    shift
    learn "$called" grpo --init "$INIT" --steps "${STEPS:-24}" \
        --rollout-batch "$ROLLOUT_BATCH" --group-size 8 --lr 3e-4 \
        --loss reinforce_with_baseline "$@"
}

# Options that make sixteen updates of a batch.
SIXTEEN="--train-batch $((ROLLOUT_BATCH / 4)) --epochs-per-rollout 4"
