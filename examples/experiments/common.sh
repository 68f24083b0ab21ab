# What all experiments share: a workspace, runs that are made once, reports that are kept.
# Sourced, not run.

# workspace NAME: a new one in the current folder, unless A5CTL_HOME names one for several.
workspace() {
    export A5CTL_HOME="${A5CTL_HOME:-$(mktemp -d "$PWD/$1-XXXX")}"
    echo "workspace $A5CTL_HOME"
}

# once NAME KIND OPTIONS...: a run for each of SEEDS (only seed 0 when not set).
once() {
    called=$1 kind=$2
    shift 2
    for seed in ${SEEDS:-0}; do
        one "$(with_seed "$called" "$seed")" "$kind" "$@" --seed "$seed"
    done
}

# one NAME KIND OPTIONS...: a run that is finished is not made again, and a stopped one goes on.
one() {
    run=$1 of_kind=$2
    shift 2
    case $(status_of "$run") in
    finished) echo "$run: finished before" ;;
    "") a5ctl run "$of_kind" "$@" --name "$run" --quiet ;;
    *) a5ctl resume "$run" --quiet ;;
    esac
}

# status_of RUN: nothing where there is no such run yet.
status_of() {
    a5ctl show "$1" --json 2>/dev/null | sed -n 's/^  "status": "\([a-z]*\)".*/\1/p'
}

# with_seed NAME SEED: what the run of that seed is called.
with_seed() {
    if [ "$2" = 0 ]; then echo "$1"; else echo "$1-seed$2"; fi
}

# seeds_of NAME...: the runs of all seeds.
seeds_of() {
    for called; do
        for seed in ${SEEDS:-0}; do with_seed "$called" "$seed"; done
    done
}

# plan FILE: note the criteria before the runs that they judge.
plan() {
    a5ctl compare --criteria "$1" >/dev/null
}

# report COMMAND...: show what a5ctl says, and keep it in the file that OUTCOME names.
report() {
    said=$(COLUMNS=150 a5ctl "$@")
    printf '$ a5ctl %s\n\n%s\n\n' "$(shown "$@")" "$said" | sed 's/ *$//' |
        tee -a "${OUTCOME:-/dev/null}"
}

# shown COMMAND...: with paths cut down to their last part.
shown() {
    for word; do printf '%s ' "${word##*/}"; done | sed 's/ $//'
}

# in_table SIZE OPTIONS...: a cell of the size table, called table-SIZE: warm-up and cosine,
# three passes over the small sets, one over the large ones.
in_table() {
    size=$1
    shift
    cell "table-$size" "$size" --group table "$@"
}

# cell NAME SIZE OPTIONS...: of that or another table, by the `tune` of the model's own file.
cell() {
    called=$1 size=$2
    shift 2
    case $size in 128 | 256) epochs=3 ;; *) epochs=1 ;; esac
    tune "$called" --size "$size" --epochs "$epochs" --schedule cosine --warmup 0.05 "$@"
}
