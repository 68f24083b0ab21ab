#!/bin/bash -l
#SBATCH --job-name=a5-k3f9x2m1qz
#SBATCH --array=0-2%2
#SBATCH --time=1-02:30:00
#SBATCH --signal=B:TERM@300
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --output=/dev/null
#SBATCH --requeue
#SBATCH --gres=gpu:a100:2
#SBATCH --mem=32768M
#SBATCH --partition=gpu
#SBATCH --account=proj_7
#SBATCH --qos=long
#SBATCH -m ae

# plan rates; written by a5ctl, one element for each cell

cells=(
  1f3a9c2e
  77aa01bc
  9e8d7c6b
)
index=${SLURM_ARRAY_TASK_ID:-0}
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
a5ctl plan cell /home/me/study/rates.toml "$cell" --quiet &
child=$!
while :; do
  wait "$child"
  code=$?
  kill -0 "$child" 2>/dev/null || break
done
ended "$code"
