#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Process 1 of the guest scripts/kernels.sh boots: runs cprofd in each of its modes and sends what
# came out, as a tar archive in base64, to the second serial port. It judges nothing: that is
# check_results.py's business, on the host.
# shellcheck shell=dash
export PATH=/bin HOME=/ LC_ALL=C

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec < /dev/null > /dev/console 2>&1
mount -t tmpfs tmp /tmp
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /tmp/results
cd /tmp/results || poweroff -f

export INSN_COUNT_FILE=/tmp/results/insns
uname -r > release
: > insns
chmod 666 insns

# run NAME COMMAND…: output and status under that name
run()
{
	local name=$1 status=0
	shift
	echo "== $(cut -d ' ' -f 1 /proc/uptime) $name: $*"
	"$@" > "$name.out" 2> "$name.err" || status=$?
	echo "$status" > "$name.status"
}

profile()
{
	local name=$1
	shift
	export LD_PRELOAD=/lib/insn_count.so
	run "$name" "$@"
	unset LD_PRELOAD
}

# Sets 'pid' to that of a workload that has said it is ready.
start()
{
	local name=$1
	shift
	"/workloads/$name" "$@" > "$name.said" &
	pid=$!
	while ! grep -q '^ready' "$name.said"; do
		kill -0 "$pid" || return 1
		usleep 20000
	done
}

# wait_for FILE PATTERN PID: until the file has such a line, or the process is gone.
wait_for()
{
	while ! grep -q "$2" "$1"; do
		kill -0 "$3" || return 1
		usleep 20000
	done
}

# What the kernel says of each thread of a process, which sleep.
accounts()
{
	local task
	for task in /proc/"$1"/task/*; do
		echo "${task##*/} $(cat "$task/schedstat")"
	done
}

# sched NAME MODE OPTION [COMMAND…]: waits of a load, which the command disturbs.
sched()
{
	local name=$1 mode=$2 option=$3 load profiler status=0
	shift 3
	echo "== $(cut -d ' ' -f 1 /proc/uptime) $name: $mode"
	rm -f line
	mkfifo line
	/workloads/sched_load "$mode" 2 < line > "$name.said" &
	load=$!
	exec 3> line
	wait_for "$name.said" '^ready' "$load"
	usleep 300000
	accounts "$load" > "$name.before"
	LD_PRELOAD=/lib/insn_count.so cprofd -p "$load" --sched 0 "$option" -v \
		-o "$name.json" -o "$name.pb.gz" > "$name.out" 2> "$name.err" 3>&- &
	profiler=$!
	while ! grep -q 'tp_name:.sched_switch' /proc/"$profiler"/fdinfo/*; do
		kill -0 "$profiler" || break
		usleep 20000
	done
	echo go >&3
	[ $# -eq 0 ] || run "$name.disturb" "$@"
	wait_for "$name.said" '^done' "$load"
	usleep 500000
	kill -TERM "$profiler"
	wait "$profiler" || status=$?
	echo "$status" > "$name.status"
	accounts "$load" > "$name.after"
	exec 3>&-
	wait "$load"
}

# heap NAME OPTION PROGRAM ARGUMENT…: every allocation of a program that runs already, by its pid.
heap()
{
	local name=$1 option=$2 program=/workloads/$3 load profiler status=0
	shift 3
	echo "== $(cut -d ' ' -f 1 /proc/uptime) $name: $program $*"
	rm -f line
	mkfifo line
	HEAP_TRUTH_WAIT=1 "$program" "$@" < line > "$name.said" &
	load=$!
	exec 3> line
	echo go >&3
	wait_for "$name.said" '^ready' "$load"
	LD_PRELOAD=/lib/insn_count.so cprofd -p "$load" --heap 0 --heap-interval 1 "$option" -v \
		-o "$name.json" -o "$name.pb.gz" > "$name.out" 2> "$name.err" 3>&- &
	profiler=$!
	wait_for "$name.said" '^done' "$profiler"
	kill -TERM "$profiler"
	wait "$profiler" || status=$?
	echo "$status" > "$name.status"
	exec 3>&-
	status=0
	wait "$load" || status=$?
	echo "$status" > "$name.load"
}

# heap_command NAME SOURCE PROGRAM ARGUMENT…: the same of a command, from its start to its end.
heap_command()
{
	local name=$1 source=$2 program=/workloads/$3 profiler status=0
	shift 3
	echo "== $(cut -d ' ' -f 1 /proc/uptime) $name: $program $*"
	rm -f line
	mkfifo line
	LD_PRELOAD=/lib/insn_count.so cprofd --heap 0 --heap-interval 1 --heap-source "$source" -v \
		-o "$name.json" -o "$name.pb.gz" -- "$program" "$@" \
		> "$name.said" 2> "$name.err" < line &
	profiler=$!
	exec 3> line
	wait_for "$name.said" '^ready' "$profiler"
	sleep 1
	echo go >&3
	wait_for "$name.said" '^done' "$profiler"
	exec 3>&-
	wait "$profiler" || status=$?
	echo "$status" > "$name.status"
	cp "$name.said" "$name.out"
	echo 0 > "$name.load"
}

# A CPU goes and comes back; what waits there is moved.
unplug()
{
	usleep 500000
	echo 0 > /sys/devices/system/cpu/cpu1/online || return
	usleep 500000
	echo 1 > /sys/devices/system/cpu/cpu1/online
}

run doctor cprofd doctor
run cgroup_setup mkdir /sys/fs/cgroup/tested

start nofp_deep 600
profile pid cprofd -p "$pid" --cpu 3s -v -o pid.folded -o pid.pb.gz
kill "$pid"

profile command cprofd --cpu 0 -v -o command.folded -- /workloads/family 2

sched sched waker --worst=3
sched sched_moved migrate --by=cgroup unplug

heap heap_live --heap-mode=live heap_truth 1 1 1
heap heap_alloc --heap-mode=alloc heap_truth 1 1 1
heap heap_static --heap-mode=live heap_truth_static 1 1 1
heap_command heap_children uprobe heap_life fork
heap_command heap_preload preload heap_truth 1 1 1

start syscalls 600
echo "$pid" > /sys/fs/cgroup/tested/cgroup.procs
profile host cprofd --cpu 2s -v -o host.folded
profile comm cprofd --comm syscalls --cpu 1s -v -o comm.folded
profile cgroup cprofd --cgroup /sys/fs/cgroup/tested --cpu 1s -v -o cgroup.folded

# What a service has: some capabilities, and none of root's other powers.
as_service()
{
	# By path: the shell would take its own, which knows less.
	/bin/setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps "$CAPS" \
		--ambient-caps "$CAPS" "$@"
}
CAPS=+bpf,+perfmon,+sys_ptrace,+dac_read_search,+checkpoint_restore,+syslog
run doctor_service as_service cprofd doctor
echo 2 > /proc/sys/kernel/perf_event_paranoid
ulimit -l unlimited
mkdir -m 777 service
profile service as_service cprofd --cpu 1s -v -o service/service.folded
mv service/service.folded .
kill "$pid"

dmesg > dmesg.out
echo "== $(cut -d ' ' -f 1 /proc/uptime) done"
tar -cz -f - . | base64 > /dev/ttyS1
sync
poweroff -f
