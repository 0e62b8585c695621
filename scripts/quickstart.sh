#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# From a fresh clone on Debian to a first profile: installs what is missing, builds, profiles the
# whole host for 10 s while a small workload runs, and says what to do next. Can be run again.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/host-check.sh
. scripts/host-check.sh

readonly SECONDS_PROFILED=10
readonly PROFILE=quickstart.cpu.pb.gz
readonly WORKLOADS=build/tests/workloads

host_check
./scripts/install-deps.sh build
make -j2
make --no-print-directory -C tests/workloads O="$PWD/$WORKLOADS" burn threads

workload_pids=()
stop_workload()
{
	kill "${workload_pids[@]}" 2>/dev/null || true
}
trap stop_workload EXIT
"$WORKLOADS/burn" $((SECONDS_PROFILED + 60)) > /dev/null &
workload_pids+=($!)
"$WORKLOADS/threads" $((SECONDS_PROFILED + 60)) > /dev/null &
workload_pids+=($!)

echo
echo "quickstart: profiling the whole host for $SECONDS_PROFILED s while burn (pid" \
	"${workload_pids[0]}) and threads (pid ${workload_pids[1]}) run"
build/cprofd --cpu "${SECONDS_PROFILED}s" -o "$PROFILE"

next_step()
{
	printf '  %-45s %s\n' "$1" "$2"
}

echo
echo "quickstart: the profile is $PWD/$PROFILE. What to do next:"
next_step "build/cprof top $PROFILE" "the table again, no privilege needed"
next_step "go tool pprof -http=: $PROFILE" "flame graph in the browser"
next_step "sudo build/cprofd --pid PID --cpu 30s" "one process, by its pid"
next_step "sudo build/cprofd --cpu 0 -- COMMAND" "a command, until it ends"
next_step "sudo build/cprofd doctor" "what this host has and lacks"
next_step "build/cprofd --help" "everything else"
