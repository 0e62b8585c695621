#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Every test there is: installs what they need, builds with warnings as errors, runs lint, unit and
# integration tests, boots older kernels (kernels.sh), fuzzes each parser for
# a minute, then runs all tests again on a build with
# address and undefined sanitizers. The last line is "N passed, N failed, N skipped"; the exit
# status says whether anything failed.
#
#   test.sh              everything
#   test.sh --no-san     without the sanitizer build
#   test.sh --no-deps    without installing anything
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=scripts/host-check.sh
. scripts/host-check.sh

readonly SANITIZERS=address,undefined
readonly PPROF_FORMAT=pprof-format@2

with_san=1 with_deps=1
for arg in "$@"; do
	case $arg in
	--no-san) with_san=0 ;;
	--no-deps) with_deps=0 ;;
	*)
		echo "usage: test.sh [--no-san] [--no-deps]" >&2
		exit 2
		;;
	esac
done

passed=0 failed=0 skipped=0
count()
{
	passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

finish()
{
	echo
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
	exit
}

# A build that fails ends the run: nothing after it would mean anything.
build()
{
	echo "== build: make $*"
	if ! make -j2 WERROR=1 "$@"; then
		count 0 1 0
		finish
	fi
}

# One test that is a command.
run_check()
{
	echo "-- $*"
	if "$@"; then
		count 1 0 0
	else
		echo "FAILED: $*"
		count 0 1 0
	fi
}

# Sum of the numbers in all matches of a pattern in the output of a suite.
sum_of()
{
	awk -v pattern="$1" '
		{
			while (match($0, pattern)) {
				found = substr($0, RSTART, RLENGTH)
				$0 = substr($0, RSTART + RLENGTH)
				gsub(/[^0-9]/, "", found)
				sum += found
			}
		}
		END { print sum + 0 }' "$2"
}

run_unit_tests()
{
	local out=$1 log test pass fail skip status

	log=$(mktemp)
	for test in tests/unit/test_*.c; do
		test=$out/tests/unit/$(basename "$test" .c)
		echo "-- $(basename "$test")"
		status=0
		"$test" > "$log" 2>&1 || status=$?
		pass=$(sum_of 'PASSED  []] [0-9]+ test' "$log")
		fail=$(sum_of 'FAILED  []] [0-9]+ test' "$log")
		skip=$(sum_of 'SKIPPED []] [0-9]+ test' "$log")
		if [ "$status" -ne 0 ]; then
			# A crash has no summary and still is a failure.
			[ "$fail" -gt 0 ] || fail=1
			cat "$log"
		elif [ "$pass" -eq 0 ] && [ "$skip" -eq 0 ]; then
			echo "FAILED: $test ran no test"
			fail=1
		fi
		grep -E '\[  SKIPPED \] [^0-9]' "$log" || true
		count "$pass" "$fail" "$skip"
	done
	rm -f "$log"
}

run_integration_tests()
{
	local out=$1 log status=0

	log=$(mktemp)
	CPROFD_BUILD=$PWD/$out CPROFD_NPM=$PWD/build/npm /usr/bin/python3 -m pytest -p no:cacheprovider \
		-ra --durations=10 tests/integration 2>&1 | tee "$log" || status=$?
	tail -n 1 "$log" > "$log.last"
	local fail
	fail=$(($(sum_of '[0-9]+ failed' "$log.last") + $(sum_of '[0-9]+ error' "$log.last")))
	if [ "$status" -ne 0 ] && [ "$fail" -eq 0 ]; then
		fail=1
	fi
	count "$(sum_of '[0-9]+ passed' "$log.last")" "$fail" "$(sum_of '[0-9]+ skipped' "$log.last")"
	rm -f "$log" "$log.last"
}

run_kernels()
{
	local log status=0 fail

	echo "== kernels"
	log=$(mktemp)
	WERROR=1 ./scripts/kernels.sh 2>&1 | tee "$log" || status=$?
	tail -n 1 "$log" > "$log.last"
	fail=$(sum_of '[0-9]+ failed' "$log.last")
	if [ "$status" -ne 0 ] && [ "$fail" -eq 0 ]; then
		fail=1
	fi
	count "$(sum_of '[0-9]+ passed' "$log.last")" "$fail" "$(sum_of '[0-9]+ skipped' "$log.last")"
	rm -f "$log" "$log.last"
}

unit_binaries()
{
	local test

	for test in tests/unit/test_*.c; do
		echo "$1/tests/unit/$(basename "$test" .c)"
	done
}

run_suite()
{
	local out=$1 binaries
	shift

	mapfile -t binaries < <(unit_binaries "$out")
	# Stacks of live processes against libdw's: once is enough.
	[ $# -gt 0 ] || binaries+=("$out/tests/bench/ground_truth")
	binaries+=("$out/tests/bench/sched_probe")
	build "$@" O="$out" all workloads "${binaries[@]}"
	echo "== unit tests ($out)"
	run_unit_tests "$out"
	echo "== integration tests ($out)"
	run_integration_tests "$out"
}

run_lint()
{
	echo "== lint"
	run_check make --no-print-directory lint
	run_check ./scripts/check-layers.sh --self-test
	run_check ./scripts/check-limits.sh --self-test
	run_check shellcheck -x scripts/*.sh tests/kernels/*.sh .ci/run
	run_check mandoc -T lint -W warning daemon/cprofd.8 cli/cprof.1
}

install_pprof_format()
{
	[ -d build/npm/node_modules/pprof-format ] && return
	echo "test: installing npm's $PPROF_FORMAT into build/npm"
	mkdir -p build/npm
	npm install --silent --no-audit --no-fund --no-package-lock --prefix build/npm \
		"$PPROF_FORMAT" || echo "test: npm failed: tests that need $PPROF_FORMAT will be skipped"
}

host_check
export PATH=$PATH:/usr/sbin:${HOME:-/root}/.cargo/bin
if [ "$with_deps" -eq 1 ]; then
	./scripts/install-deps.sh test
	install_pprof_format
fi

# Sanitizer reports get a status that no test expects.
export ASAN_OPTIONS=exitcode=99:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:exitcode=99

build all
run_lint
run_suite build
run_kernels
echo "== fuzz"
run_check make --no-print-directory fuzz FUZZ_SECONDS=60 "FUZZ_ARGS=-verbosity=0"
if [ "$with_san" -eq 1 ]; then
	run_suite build/san SAN=$SANITIZERS
fi
finish
