#!/bin/bash -l
#PBS -N a5-k3f9x2m1qz
#PBS -S /bin/bash
#PBS -V
#PBS -j oe
#PBS -o /dev/null
#PBS -r y
#PBS -J 0-2%2
#PBS -l walltime=26:30:00
#PBS -l select=1:ncpus=8:ngpus=2:gpu_type=a100:mem=32768mb
#PBS -q gpuq
#PBS -A proj_7
#PBS -m ae

# plan rates; written by a5ctl, one element for each cell

cells=(
  1f3a9c2e
  77aa01bc
  9e8d7c6b
)
index=${PBS_ARRAY_INDEX:-0}
cell="${cells[$index]}"
jobs=/work/plans/rates-1a2b3c/jobs/a5-k3f9x2m1qz
exec >>"$jobs/$index.log" 2>&1 </dev/null
ended() {
  printf '%s\n' "$1" >"$jobs/.$index.exit" && mv -f "$jobs/.$index.exit" "$jobs/$index.exit"
  exit "$1"
}

cd /home/me/study || ended 1
module load cuda/12.4 || ended 1
module load python/3.11 || ended 1
. '/home/me/my env/bin/activate' || ended 1
export A5CTL_REGISTRY=postgresql:///experiments
export HF_HOME=/scratch/me/hf
ulimit -n 4096

rm -f "$jobs/$index.exit"
hostname >"$jobs/$index.node"

# a cell that is told to stop saves itself; the word is passed on until it has ended
child=
trap 'if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null; else ended 143; fi' TERM
timeout --preserve-status --signal=TERM "$((95100 - SECONDS))" a5ctl plan cell /home/me/study/rates.toml "$cell" --quiet &
child=$!
while :; do
  wait "$child"
  code=$?
  kill -0 "$child" 2>/dev/null || break
done
ended "$code"
