"""Settings with the values of those that have few, for the Tab key.

Written by docs/generate.py; edit core/config, not this file.
"""

SETTINGS = """\
kind sft ei grpo dpo eval
name
group
tags
note
seed
model.source
model.run
model.run_step
model.run_choice last best
model.selected_on
model.device auto cpu cuda
data.source
data.evaluation_source
data.size
data.seed
data.filter none correct solved-by
data.solved_by
data.held_out true false
data.evaluation_hash
prompt.template
prompt.text
prompt.chat true false
train.lr
train.schedule constant linear cosine
train.warmup
train.min_lr_ratio
train.epochs
train.steps
train.tokens
train.batch_size
train.microbatch_tokens
train.activation_checkpointing auto on off
train.max_length
train.supervise response closing answer
train.supervise_eos true false
train.normalization tokens sequence_sum
train.normalize_constant
train.weight_decay
train.beta1
train.beta2
train.epsilon
train.clip_norm
train.checkpoint_every
train.keep_last
train.keep_best
train.on_alarm warn stop rollback
train.max_rollbacks
train.precision auto float32 mixed stochastic bfloat16
train.attention auto flash varlen sdpa
train.compile auto on off
train.gpus
train.threads
evaluation.every
evaluation.at_start true false
evaluation.split test test-hard dev val train
evaluation.limit
evaluation.grader r1_zero strict lenient diagnostic question_only multiple_choice
evaluation.engine auto vllm hf
evaluation.dtype auto float32 bfloat16
evaluation.temperature
evaluation.top_p
evaluation.max_tokens
evaluation.min_tokens
evaluation.stop
evaluation.n
evaluation.seed
evaluation.grader_time_limit
evaluation.placement auto shared apart
evaluation.gpu_memory_utilization
rollout.per_question
rollout.temperature
rollout.top_p
rollout.max_tokens
rollout.min_tokens
rollout.stop
rollout.grader r1_zero strict lenient diagnostic question_only multiple_choice
rollout.keep all text none
ei.steps
ei.questions
ei.max_per_problem
ei.deduplicate true false
ei.optimizer_reset true false
grpo.steps
grpo.rollout_batch
grpo.train_batch
grpo.epochs_per_rollout
grpo.loss no_baseline reinforce_with_baseline grpo_clip grpo_no_clip
grpo.clip_low
grpo.clip_high
grpo.std_normalization true false
grpo.advantage_epsilon
grpo.length_normalization sequence_mean constant token_mean
grpo.normalize_constant
grpo.kl
grpo.dynamic_sampling true false
grpo.max_refills
grpo.skip_zero_advantage true false
grpo.tis_cap
grpo.overlong_buffer
grpo.mask_truncated true false
grpo.reward answer format length closed
dpo.pairs
dpo.beta
dpo.loss sigmoid ipo
dpo.label_smoothing
"""
