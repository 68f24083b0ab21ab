#!/bin/sh
# What the base model gets wrong before any training: the math, or the format?
# First under the built-in prompt, then under the plain one it knows from its pretraining.
# About a minute on two cores. Options are passed on to `a5ctl run`.
set -eu
export A5CTL_HOME="${A5CTL_HOME:-$(mktemp -d "$PWD/base-failures-XXXX")}"

a5ctl run eval --name base --quiet "$@"
a5ctl diagnose base --examples 1
a5ctl run eval --name plain --prompt "$(dirname "$0")/plain.prompt" --grader lenient "$@"
