#!/bin/bash
# Slurm with two nodes on this machine: `srun orchestrator worker JOB`, and `orchestrator run` within an allocation.
source tests/cluster/common.sh
need slurmd slurm-wlm
need munged munge
need_root "a Slurm of its own"

if [[ -z ${IN_NAMESPACE:-} ]]; then
  exec env IN_NAMESPACE=1 unshare --net --mount --propagation private -- "$0" "$@"
fi
mount -t tmpfs none /run
ip link set lo up
# Slurm wants an interface beside loopback.
ip link add net0 type veth peer name net1
ip address add 10.77.1.1/24 dev net0
ip link set net0 up
ip link set net1 up

# Paths of sockets are short.
state=/run/slurm
mkdir -p "$state/state" "$state/spool/n0" "$state/spool/n1" "$state/log" /run/munge
chmod 755 "$state"
daemons=()
stop() {
  [[ ${#daemons[@]} -eq 0 ]] || kill "${daemons[@]}" 2> /dev/null || true
}
trap stop EXIT

echo "munge, a controller and two nodes"
dd if=/dev/urandom of=/run/munge/key bs=1 count=128 2> /dev/null
chmod 600 /run/munge/key
munged --foreground --force --key-file=/run/munge/key --socket=/run/munge/munge.socket.2 \
  --pid-file=/run/munge/pid --log-file=/run/munge/log --seed-file=/run/munge/seed > "$state/log/munged.log" 2>&1 &
daemons+=($!)
export SLURM_CONF=$state/slurm.conf
cat > "$SLURM_CONF" << END
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=/run/munge/munge.socket.2
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmUser=root
SlurmctldPort=17001
StateSaveLocation=$state/state
SlurmdSpoolDir=$state/spool/%n
SlurmctldPidFile=$state/ctld.pid
SlurmdPidFile=$state/d.%n.pid
SlurmctldLogFile=$state/log/ctld.log
SlurmdLogFile=$state/log/d.%n.log
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=n[0-1] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[17002-17003] CPUs=2 State=UNKNOWN
PartitionName=p Nodes=n[0-1] Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
END
slurmctld -D > "$state/log/ctld.out" 2>&1 &
daemons+=($!)
for node in n0 n1; do
  slurmd -D -N $node > "$state/log/$node.out" 2>&1 &
  daemons+=($!)
done
for ((tries = 0; tries < 300; tries++)); do
  [[ $(sinfo -h -t idle -o %D 2> /dev/null) != 2 ]] || break
  sleep 0.1
done
[[ $(sinfo -h -t idle -o %D) == 2 ]] || fail "Slurm does not start: $(tail -n 5 "$state"/log/*)"

run_reference
# The names of these nodes are only Slurm's, so the address is given; on a real cluster it need not be.
export MASTER_ADDR=127.0.0.1
srun -N2 -n4 "$orchestrator" worker --run-directory "$scratch/srun" "$job" > "$scratch/srun.log" 2>&1 ||
  fail "srun: $(cat "$scratch/srun.log")"
same_result "srun orchestrator worker" "$scratch/srun"
unset MASTER_ADDR

salloc -N2 -n4 "$orchestrator" run --run-directory "$scratch/salloc" "$job" > "$scratch/salloc.log" 2>&1 ||
  fail "run within an allocation: $(cat "$scratch/salloc.log")"
same_result "run within an allocation" "$scratch/salloc"

echo "more workers than the allocation has tasks"
status=0
text=$(salloc -N2 -n2 "$orchestrator" run -np 3 "$job" 2>&1) || status=$?
[[ $status -ne 0 && $text == *"SL1020 3 workers asked, 2 slots: n0 1, n1 1"* ]] || fail "exit $status: $text"

echo "nothing outlives a launcher that is killed"
salloc -N2 -n4 "$orchestrator" run --set training.steps=100000 --run-directory "$scratch/killed" "$job" \
  > "$scratch/killed.log" 2>&1 &
training_begins "$scratch/killed"
driver=
for pid in $(processes_of "$scratch/killed"); do
  if grep -zq '^coordinator$' "/proc/$pid/cmdline"; then driver=$(ps -o ppid= -p "$pid" | tr -d ' '); fi
done
[[ -n $driver ]] || fail "no coordinator while it trains"
kill -9 "$driver"
gone_within 15 "$scratch/killed"

echo "passed"
