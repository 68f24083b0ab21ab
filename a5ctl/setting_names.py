"""Settings with the values of those that have few, for the Tab key, and their defaults, for help.

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

DEFAULTS = """\
kind sft
seed 0
model.source builtin
model.device auto
data.source builtin
data.filter none
prompt.template think_answer
prompt.chat false
train.schedule cosine
train.warmup 0.05
train.min_lr_ratio 0.1
train.activation_checkpointing auto
train.max_length 1024
train.supervise response
train.supervise_eos true
train.normalization tokens
train.normalize_constant 1.0
train.weight_decay 0.0
train.beta1 0.9
train.beta2 0.95
train.epsilon 1e-08
train.clip_norm 1.0
train.keep_last 2
train.keep_best 1
train.on_alarm warn
train.max_rollbacks 3
train.precision auto
train.attention auto
train.compile auto
train.gpus 1
evaluation.at_start true
evaluation.split test
evaluation.engine auto
evaluation.dtype auto
evaluation.temperature 0.0
evaluation.top_p 1.0
evaluation.min_tokens 0
evaluation.n 1
evaluation.grader_time_limit 2.0
evaluation.placement auto
rollout.per_question 8
rollout.temperature 1.0
rollout.top_p 1.0
rollout.min_tokens 4
rollout.grader strict
rollout.keep text
ei.steps 5
ei.questions 512
ei.max_per_problem 4
ei.deduplicate true
ei.optimizer_reset false
grpo.steps 200
grpo.rollout_batch 256
grpo.epochs_per_rollout 1
grpo.loss grpo_clip
grpo.clip_low 0.2
grpo.clip_high 0.2
grpo.std_normalization true
grpo.advantage_epsilon 1e-06
grpo.length_normalization sequence_mean
grpo.kl 0.0
grpo.dynamic_sampling false
grpo.max_refills 3
grpo.skip_zero_advantage true
grpo.mask_truncated false
dpo.beta 0.1
dpo.loss sigmoid
dpo.label_smoothing 0.0
"""
