#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Sizes that keep the tree readable: files of at most 600 lines, C functions of 100, main() of 60.
#
#   check-limits.sh              the tracked files of the tree this script lies in
#   check-limits.sh --self-test  proves that each limit is noticed
set -euo pipefail

readonly FILE_LINES_MAX=600
readonly FUNCTION_LINES_MAX=100
readonly MAIN_LINES_MAX=60

check_lengths()
{
	awk -v max="$FILE_LINES_MAX" '
		FNR == max + 1 { printf "check-limits: %s: more than %d lines\n", FILENAME, max; bad = 1 }
		END { exit bad }' "$@"
}

# Kernel style makes it simple: a function body is what stands between '{' and '}' in column 0.
check_functions()
{
	awk -v max="$FUNCTION_LINES_MAX" -v main_max="$MAIN_LINES_MAX" '
		FNR == 1 { in_body = 0 }
		/^[[:alpha:]_].*\(/ && !in_body { name = $0; sub(/\(.*/, "", name); sub(/.*[ *\t]/, "", name) }
		/^{$/ { in_body = 1; start = FNR; next }
		/^}/ && in_body {
			lines = FNR - start - 1
			limit = name == "main" ? main_max : max
			if (lines > limit) {
				printf "check-limits: %s:%d: %s() has %d lines, at most %d\n", \
					FILENAME, start, name, lines, limit
				bad = 1
			}
			in_body = 0
		}
		END { exit bad }' "$@"
}

check_tree()
{
	local all c_files

	cd "$1"
	mapfile -t all < <(git ls-files '*.c' '*.h' '*.py' '*.sh' 2>/dev/null)
	if [ "${#all[@]}" -eq 0 ]; then
		mapfile -t all < <(find . -path ./build -prune -o -type f \
			\( -name '*.[ch]' -o -name '*.py' -o -name '*.sh' \) -print)
	fi
	mapfile -t c_files < <(printf '%s\n' "${all[@]}" | grep '\.[ch]$')
	local status=0
	check_lengths "${all[@]}" || status=1
	check_functions "${c_files[@]}" || status=1
	return "$status"
}

expect_status()
{
	local want=$1 what=$2 got=0
	shift 2

	"$@" > /dev/null || got=1
	if [ "$got" -ne "$want" ]; then
		printf 'self-test: %s: status %s, expected %s\n' "$what" "$got" "$want"
		failed=1
	fi
}

function_of()
{
	printf 'int %s(int a)\n{\n' "$1"
	for ((i = 0; i < $2; i++)); do printf '\ta++;\n'; done
	printf '}\n'
}

self_test()
{
	local i
	failed=0

	dir=$(mktemp -d) # global: the trap outlives this function
	trap 'rm -rf "$dir"' EXIT
	seq "$FILE_LINES_MAX" > "$dir/long_enough.h"
	seq $((FILE_LINES_MAX + 1)) > "$dir/too_long.h"
	expect_status 0 "a file of the largest size" check_lengths "$dir/long_enough.h"
	expect_status 1 "a file of one line more" check_lengths "$dir/long_enough.h" "$dir/too_long.h"
	{ function_of f "$FUNCTION_LINES_MAX" && function_of main "$MAIN_LINES_MAX"; } > "$dir/good.c"
	{ function_of g 3 && function_of f $((FUNCTION_LINES_MAX + 1)); } > "$dir/bad.c"
	function_of main $((MAIN_LINES_MAX + 1)) > "$dir/bad_main.c"
	expect_status 0 "functions of the largest size" check_functions "$dir/good.c"
	expect_status 1 "a function of one line more" check_functions "$dir/bad.c"
	expect_status 1 "a main() of one line more" check_functions "$dir/bad_main.c"
	[ "$failed" -eq 0 ] && echo "check-limits: self-test ok"
	return "$failed"
}

case ${1-} in
'') check_tree "$(dirname "$(readlink -f "$0")")/.." ;;
--self-test) self_test ;;
*)
	echo "usage: check-limits.sh [--self-test]" >&2
	exit 2
	;;
esac
