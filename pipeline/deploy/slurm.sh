#!/bin/bash
# Preprocessing on a Slurm cluster: a Ray cluster of one task per node that lives as long as the job.
#
#   sbatch --nodes 4 pipeline/deploy/slurm.sh CORPUS URI [FLAGS OF preprocess]
#   scancel --signal TERM --batch JOBID      # drain: finish what can be finished, resume later
#
# The first node runs the driver and Ray's head, all nodes run tasks. Submitted again, the run resumes;
# after a node failure or preemption Slurm does that by itself (--requeue). REELSHARDS_VENV is the
# virtual environment on all nodes; CORPUS and URI must be reachable from all of them.
#SBATCH --job-name=reelshards
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Slurm sends TERM to this script two minutes before the time is up: enough for --drain-seconds.
#SBATCH --signal=B:TERM@120

set -euo pipefail

if (($# < 2)); then
    echo "usage: sbatch $0 CORPUS URI [FLAGS OF preprocess]" >&2
    exit 2
fi
if [[ -z ${SLURM_JOB_ID:-} ]]; then
    echo "submit this script with sbatch" >&2
    exit 2
fi
corpus=$1 uri=$2
shift 2

if [[ -n ${REELSHARDS_VENV:-} ]]; then
    source "$REELSHARDS_VENV/bin/activate"
fi

# Nobody without the token can submit work, that is, run code; it is in no command line or file.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
export RAY_DISABLE_USAGE_STATS=1 RAY_USAGE_STATS_ENABLED=0

nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=$(head -n 1 <<<"$nodes")
# Jobs may share nodes where --exclusive is not allowed: each has its own port and folder.
port=$((20000 + SLURM_JOB_ID % 20000))
export RAY_TMPDIR="${TMPDIR:-/tmp}/ray-$SLURM_JOB_ID"
cores=${SLURM_CPUS_ON_NODE:-$(nproc)}

steps=()
cleanup() {
    ((${#steps[@]} == 0)) || kill -TERM "${steps[@]}" 2>/dev/null || true
    wait || true
}
trap cleanup EXIT
trap 'exit 143' TERM # Until there is a driver to drain.

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --block --port="$port" --num-cpus="$cores" --include-dashboard=false &
steps+=($!)
rest=$(tail -n +2 <<<"$nodes" | paste -sd, -)
if [[ -n $rest ]]; then
    # Workers repeat the attempt until the head is up.
    srun --overlap --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks-per-node=1 --nodelist="$rest" \
        bash -c "mkdir -p '$RAY_TMPDIR'; until ray start --block --address='$head:$port' \
            --num-cpus='$cores'; do sleep 2; done" &
    steps+=($!)
fi
for _ in $(seq 60); do
    ray status --address "$head:$port" >/dev/null 2>&1 && break
    sleep 2
done

# TERM drains the driver, which then exits with 143; any other exit code is that of the run.
python -m pipeline preprocess "$corpus" --out "$uri" --address "$head:$port" "$@" &
driver=$!
trap 'kill -TERM "$driver" 2>/dev/null || true' TERM
code=0
wait "$driver" || code=$?
while kill -0 "$driver" 2>/dev/null; do
    # A trapped signal interrupts `wait`, which then reports the signal instead of the driver.
    code=0
    wait "$driver" || code=$?
done
exit "$code"
