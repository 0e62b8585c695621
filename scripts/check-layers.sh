#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Who may include whom. Prints one line per violation, exit status 1 if there is any.
#
#   check-layers.sh              the tree this script lies in
#   check-layers.sh --self-test  proves that every rule catches its violation
set -euo pipefail

# Folder → the folders it may include from, besides itself. "abi" is bpf/abi, "." daemon/ itself.
declare -Ar MAY_SEE=(
	[base]=""
	[parse]="base abi"
	[worker]="base parse abi"
	[process]="base worker"
	[unwind]="base worker process abi"
	[symbolize]="base worker process"
	[profile]="base abi"
	[export]="base profile abi"
	[serve]="base profile export"
	[collect]="base abi"
	[preload]="abi"
	[session]="base worker process unwind symbolize profile export serve collect abi ."
	[.]="base worker process symbolize unwind profile export serve collect session abi"
	[cli]="base profile export"
	[bpf]="abi"
	[abi]=""
)

# Header (a regular expression on what stands between <> or "") @ where it may be included.
readonly HEADER_RULES=(
	'abi/(event|unwind_.*)\.h @ (bpf|daemon/(collect|session|unwind|parse|worker))/'
	'.*\.skel\.h @ daemon/collect/'
	'(libelf|gelf|nlist|dwarf|lzma|demangle|libiberty)\.h @ daemon/parse/'
	'(elfutils|libelf|libiberty|libdwarf|lzma|Zydis|Zycore)/.* @ daemon/parse/'
	'.*protobuf-c.* @ daemon/export/'
	'.*\.pb-c\.h @ daemon/export/'
	'zlib\.h @ daemon/base/gzip\.c$'
	'uthash\.h @ daemon/base/hash\.h$'
)

# exit() ends a process behind the back of whoever has something to clean up.
readonly MAY_EXIT='^(daemon|cli)/main\.c$'

found=0
report()
{
	printf 'check-layers: %s\n' "$*"
	found=1
}

# daemon/base/x.c → base, daemon/main.c → ., cli/x.c → cli, bpf/abi/x.h → abi
layer_of()
{
	case $1 in
	daemon/*/*) local rest=${1#daemon/} && echo "${rest%%/*}" ;;
	daemon/*) echo . ;;
	cli/*) echo cli ;;
	bpf/abi/*) echo abi ;;
	bpf/*) echo bpf ;;
	esac
}

# What "x/y.h" included from folder 'dir' lies in: the layer, or nothing when it is no header of ours.
target_layer()
{
	local dir=$1 header=$2

	if [ -e "$dir/$header" ]; then
		layer_of "$dir/$header"
	elif [ -e "daemon/$header" ]; then
		layer_of "daemon/$header"
	elif [ -e "bpf/$header" ]; then
		layer_of "bpf/$header"
	fi
}

check_quoted()
{
	local file=$1 header=$2 layer target

	layer=$(layer_of "$file")
	if [[ $header == *..* ]]; then
		report "$file: \"$header\": includes are named from daemon/ or bpf/, without '..'"
		return
	fi
	target=$(target_layer "$(dirname "$file")" "$header")
	if [ -z "$target" ] || [ "$target" = "$layer" ]; then
		return
	fi
	if [ -z "${MAY_SEE[$layer]+x}" ]; then
		report "$file: folder '$layer' has no place among the layers"
		return
	fi
	case " ${MAY_SEE[$layer]} " in
	*" $target "*) ;;
	*) report "$file: '$layer' must not see '$target' (\"$header\")" ;;
	esac
}

check_header_rules()
{
	local file=$1 header=$2 rule

	for rule in "${HEADER_RULES[@]}"; do
		if [[ $header =~ ^(${rule% @ *})$ ]] && ! [[ $file =~ ^${rule##* @ } ]]; then
			report "$file: '$header' belongs to ${rule##* @ }"
		fi
	done
}

# Without strings and comments, as far as kernel style lets a line-based reader see them.
code_of()
{
	sed -E -e 's/"([^"\\]|\\.)*"//g' -e 's,/\*.*\*/,,g' -e 's,//.*,,' -e 's,/\*.*,,' \
		-e '/^[[:space:]]*\*/d' "$1"
}

check_file()
{
	local file=$1 line

	while IFS= read -r line; do
		case $line in
		'"'*) check_quoted "$file" "${line:1}" ;;
		esac
		check_header_rules "$file" "${line:1}"
	done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*(["<])([^">]+)[">].*/\1\2/p' "$file")

	if ! [[ $file =~ $MAY_EXIT ]] && [ "${file%%/*}" != bpf ] &&
		code_of "$file" | grep -qE '(^|[^_[:alnum:].>])exit[[:space:]]*\('; then
		report "$file: exit() outside the two main.c"
	fi
}

# Checks the tree at $1. Returns 1 when something was reported.
check_tree()
{
	local file

	cd "$1"
	found=0
	while IFS= read -r file; do
		check_file "$file"
	done < <(find daemon cli bpf -name '*.[ch]' 2>/dev/null | sort)
	return "$found"
}

# --- self-test ---------------------------------------------------------------------------------

# One line per violation: file|its one line of text|what the report must contain
readonly VIOLATIONS=(
	'daemon/base/a.c|#include "profile/profile.h"|must not see'
	'daemon/parse/a.c|#include "worker/worker.h"|must not see'
	'daemon/worker/a.c|#include "process/process.h"|must not see'
	'daemon/process/a.c|#include "parse/parse.h"|must not see'
	'daemon/process/a.c|#include "symbolize/symbolize.h"|must not see'
	'daemon/symbolize/a.c|#include "parse/parse.h"|must not see'
	'daemon/symbolize/a.c|#include "profile/profile.h"|must not see'
	'daemon/profile/a.c|#include "export/export.h"|must not see'
	'daemon/export/a.c|#include "symbolize/symbolize.h"|must not see'
	'daemon/export/a.c|#include "serve/serve.h"|must not see'
	'daemon/serve/a.c|#include "session/session.h"|must not see'
	'daemon/collect/a.c|#include "process/process.h"|must not see'
	'daemon/profile/a.c|#include "abi/event.h"|belongs to'
	'daemon/session/a.c|#include "parse/parse.h"|must not see'
	'daemon/preload/a.c|#include "base/base.h"|must not see'
	'daemon/session/a.c|#include "preload/preload.h"|must not see'
	'daemon/main.c|#include "parse/parse.h"|must not see'
	'cli/a.c|#include "session/session.h"|must not see'
	'cli/a.c|#include "../daemon/session/session.h"|without'
	'bpf/a.bpf.c|#include "base/base.h"|must not see'
	'daemon/novel/a.c|#include "base/base.h"|no place'
	'daemon/session/a.c|#include "cprofd.skel.h"|belongs to'
	'daemon/process/a.c|#include <libelf.h>|belongs to'
	'daemon/symbolize/a.c|#include <gelf.h>|belongs to'
	'daemon/symbolize/a.c|#include <elfutils/libdw.h>|belongs to'
	'daemon/symbolize/a.c|#include <libiberty/demangle.h>|belongs to'
	'daemon/unwind/a.c|#include <Zydis/Zydis.h>|belongs to'
	'cli/a.c|#include <lzma.h>|belongs to'
	'daemon/profile/a.c|#include <protobuf-c/protobuf-c.h>|belongs to'
	'daemon/session/a.c|#include "proto/profile.pb-c.h"|belongs to'
	'daemon/export/a.c|#include <zlib.h>|belongs to'
	'daemon/process/a.c|#include <uthash.h>|belongs to'
	'daemon/session/a.c|	exit(1);|exit()'
	'cli/cmd_a.c|void f(void) { if (1) exit (0); }|exit()'
)

# Lines that look like violations and are none.
readonly INNOCENT=(
	'daemon/parse/a.c|#include <libelf.h>'
	'daemon/base/gzip.c|#include <zlib.h>'
	'daemon/base/hash.h|#include <uthash.h>'
	'daemon/export/a.c|#include "proto/profile.pb-c.h"'
	'daemon/collect/a.c|#include "cprofd.skel.h"'
	'daemon/collect/b.c|#include "abi/event.h"'
	'daemon/main.c|void f(void) { exit(1); }'
	'daemon/worker/a.c|void f(void) { _exit(1); on_exit(f); p->exit(1); /* exit(1) */ g("exit(1)"); }'
	'daemon/worker/b.c|#include "parse/parse.h"'
	'daemon/symbolize/a.c|#include "worker/worker.h"'
)

make_tree()
{
	local layer

	mkdir -p "$1/cli" "$1/bpf/abi"
	for layer in base parse worker process symbolize unwind profile export serve collect session \
		preload; do
		mkdir -p "$1/daemon/$layer"
		echo > "$1/daemon/$layer/$layer.h"
	done
	echo > "$1/bpf/abi/event.h"
}

self_test()
{
	local rule file text want out failed=0

	dir=$(mktemp -d) # global: the trap outlives this function
	trap 'rm -rf "$dir"' EXIT
	make_tree "$dir/clean"
	for rule in "${INNOCENT[@]}"; do
		printf '%s\n' "${rule#*|}" > "$dir/clean/${rule%%|*}"
	done
	if ! out=$(check_tree "$dir/clean"); then
		printf 'self-test: a clean tree is reported:\n%s\n' "$out"
		failed=1
	fi
	for rule in "${VIOLATIONS[@]}"; do
		file=${rule%%|*} text=${rule#*|}
		want=${text##*|} text=${text%|*}
		rm -rf "$dir/bad"
		make_tree "$dir/bad"
		mkdir -p "$(dirname "$dir/bad/$file")"
		printf '%s\n' "$text" > "$dir/bad/$file"
		if out=$(check_tree "$dir/bad") || [[ $out != *"$want"* ]]; then
			printf "self-test: %s with '%s' is not caught\n" "$file" "$text"
			failed=1
		fi
	done
	[ "$failed" -eq 0 ] && echo "check-layers: self-test ok, ${#VIOLATIONS[@]} violations caught"
	return "$failed"
}

case ${1-} in
'') check_tree "$(dirname "$(readlink -f "$0")")/.." ;;
--self-test) self_test ;;
*)
	echo "usage: check-layers.sh [--self-test]" >&2
	exit 2
	;;
esac
