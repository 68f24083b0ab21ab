#!/bin/sh
# More data makes it worse: a good model goes on with targets that never close their answer.
# A little of such data changes nothing yet, more of it teaches the model not to close, and the
# headline falls to nothing while the numbers stay right. About 9 minutes on two cores.
# Options are passed on to `a5ctl run sft`.
set -eu
export A5CTL_HOME="${A5CTL_HOME:-$(mktemp -d "$PWD/full-data-cliff-XXXX")}"

python "$(dirname "$0")/flawed_targets.py" unclosed builtin "$A5CTL_HOME/unclosed"
a5ctl run sft --size 256 --name good --set evaluation.at_start=false --quiet "$@"
a5ctl run sft --init good --data "$A5CTL_HOME/unclosed" --eval-data builtin \
    --lr 1e-4 --epochs 1 --size 128,512,1024,2048 --group cliff \
    --set evaluation.at_start=false --quiet "$@"
a5ctl compare --group cliff
a5ctl compare --group cliff --grader lenient
