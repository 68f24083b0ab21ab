"""Settings with their defaults, and the values of those that have few: for help and the Tab key.

Written by docs/generate.py; edit core/config, not this file.
"""

SETTINGS = """\
kind=sft sft ei grpo dpo eval
name
group
tags
note
seed=0
model.source=builtin
model.run
model.run_step
model.run_choice last best
model.selected_on
model.device=auto auto cpu cuda
data.source=builtin
data.evaluation_source
data.size
data.seed
data.filter=none none correct solved-by
data.solved_by
data.held_out true false
data.evaluation_hash
prompt.template=think_answer
prompt.text
prompt.chat=false true false
train.lr
train.schedule=cosine constant linear cosine
train.warmup=0.05
train.min_lr_ratio=0.1
train.epochs
train.steps
train.tokens
train.batch_size
train.microbatch_tokens
train.activation_checkpointing=auto auto on off
train.max_length=1024
train.supervise=response response closing answer
train.supervise_eos=true true false
train.normalization=tokens tokens sequence_sum
train.normalize_constant=1.0
train.weight_decay=0.0
train.beta1=0.9
train.beta2=0.95
train.epsilon=1e-08
train.clip_norm=1.0
train.checkpoint_every
train.keep_last=2
train.keep_best=1
train.on_alarm=warn warn stop rollback
train.max_rollbacks=3
train.precision=auto auto float32 mixed stochastic bfloat16
train.attention=auto auto flash varlen sdpa
train.compile=auto auto on off
train.gpus=1
train.threads
evaluation.every
evaluation.at_start=true true false
evaluation.split=test test test-hard dev val train
evaluation.limit
evaluation.grader r1_zero strict lenient diagnostic question_only multiple_choice
evaluation.engine=auto auto vllm hf
evaluation.dtype=auto auto float32 bfloat16
evaluation.temperature=0.0
evaluation.top_p=1.0
evaluation.max_tokens
evaluation.min_tokens=0
evaluation.stop
evaluation.n=1
evaluation.seed
evaluation.grader_time_limit=2.0
evaluation.placement=auto auto shared apart
evaluation.gpu_memory_utilization
rollout.per_question=8
rollout.temperature=1.0
rollout.top_p=1.0
rollout.max_tokens
rollout.min_tokens=4
rollout.stop
rollout.grader=strict r1_zero strict lenient diagnostic question_only multiple_choice
rollout.keep=text all text none
ei.steps=5
ei.questions=512
ei.max_per_problem=4
ei.deduplicate=true true false
ei.optimizer_reset=false true false
grpo.steps=200
grpo.rollout_batch=256
grpo.train_batch
grpo.epochs_per_rollout=1
grpo.loss=grpo_clip no_baseline reinforce_with_baseline grpo_clip grpo_no_clip
grpo.clip_low=0.2
grpo.clip_high=0.2
grpo.std_normalization=true true false
grpo.advantage_epsilon=1e-06
grpo.length_normalization=sequence_mean sequence_mean constant token_mean
grpo.normalize_constant
grpo.kl=0.0
grpo.dynamic_sampling=false true false
grpo.max_refills=3
grpo.skip_zero_advantage=true true false
grpo.tis_cap
grpo.overlong_buffer
grpo.mask_truncated=false true false
grpo.reward=answer=1 answer format length closed
dpo.pairs
dpo.beta=0.1
dpo.loss=sigmoid sigmoid ipo
dpo.label_smoothing=0.0
"""
