# SPDX-License-Identifier: BSD-2-Clause
# cprofd: `make help` lists the targets. Everything that is built lands in build/ (O=DIR).
#
#   V=1                     show the commands
#   DEBUG=1                 -O0 -g3
#   SAN=address,undefined   sanitizers, all user-space code
#   WERROR=1                warnings are errors (what CI does)
#   FUZZ_SECONDS=60         how long `make fuzz` runs each target

O ?= build
VERSION := 0.1.0

CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/bin/bpftool) bpftool)
PROTOC_C ?= protoc-c
PKG_CONFIG ?= pkg-config
INSTALL ?= install
CLANG_FORMAT ?= clang-format
CPPCHECK ?= cppcheck
GO ?= /usr/bin/go
PYTHON ?= /usr/bin/python3

prefix ?= /usr/local
sbindir ?= $(prefix)/sbin
bindir ?= $(prefix)/bin
libdir ?= $(prefix)/lib
mandir ?= $(prefix)/share/man

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n' $(1) '$(patsubst $(O)/%,%,$(2))'
MAKEFLAGS += --no-print-directory
endif

# Libraries: Debian package names are what a missing one is reported with.
PKGS := libbpf libelf zlib libprotobuf-c jansson libcap
ifneq ($(filter-out clean help format check-layers check-limits,$(or $(MAKECMDGOALS),all)),)
missing := $(strip $(foreach p,$(PKGS),$(if $(shell $(PKG_CONFIG) --exists $(p) && echo y),,$(p))))
ifneq ($(missing),)
$(error missing libraries: $(missing); run ./scripts/install-deps.sh build)
endif
endif

CFLAGS ?= $(if $(DEBUG),-O0 -g3,-O2 -g)
LDFLAGS ?=
cprof_cflags := -std=gnu11 -D_GNU_SOURCE -DCPROF_VERSION='"$(VERSION)"' -fPIE \
	-Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wvla -Wformat=2 \
	-Wno-unused-parameter $(if $(WERROR),-Werror) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer,-D_FORTIFY_SOURCE=2) \
	-fstack-protector-strong
ifneq ($(DEBUG),)
cprof_cflags := $(filter-out -D_FORTIFY_SOURCE=2,$(cprof_cflags))
endif
cprof_cppflags := -Idaemon -Ibpf -I$(O) $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
cprof_ldflags := -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=$(SAN))
base_libs := $(shell $(PKG_CONFIG) --libs libprotobuf-c zlib jansson 2>/dev/null) -lm
daemon_libs := $(shell $(PKG_CONFIG) --libs libbpf libelf libcap 2>/dev/null) -liberty -lZydis $(base_libs)

bpf_arch := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(shell uname -m)))
bpf_cflags := -target bpf -D__TARGET_ARCH_$(bpf_arch) -O2 -g -mcpu=v2 -Wall -Wextra -Werror \
	-Wno-unused-parameter -Ibpf -idirafter /usr/include/$(shell $(CC) -dumpmachine)

# libcprof.a is what the unprivileged cprof links: pure data. libcprofd.a is the rest of daemon/.
cprof_dirs := base profile export
cprof_srcs := $(foreach d,$(cprof_dirs),$(wildcard daemon/$(d)/*.c))
preload_srcs := $(wildcard daemon/preload/*.c)
daemon_srcs := $(filter-out daemon/main.c $(cprof_srcs) $(preload_srcs),\
	$(wildcard daemon/*.c daemon/*/*.c))
cli_srcs := $(wildcard cli/*.c)
bpf_srcs := $(wildcard bpf/*.bpf.c)
unit_srcs := $(filter-out $(if $(filter x86,$(bpf_arch)),,tests/unit/test_heap_preload_%),\
	$(wildcard tests/unit/test_*.c))
workload_srcs := $(wildcard tests/workloads/*.c)

objs = $(patsubst %.c,$(O)/%.o,$(1))
unit_bins := $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(unit_srcs))
# Definitions of maps first: libbpf 1.1's linker leaves offset 0 in the BTF of a map it met as extern.
bpf_objs := $(O)/bpf/maps.bpf.o \
	$(filter-out %/maps.bpf.o,$(patsubst bpf/%.bpf.c,$(O)/bpf/%.bpf.o,$(bpf_srcs)))
skeleton := $(O)/cprofd.skel.h
proto_src := $(O)/proto/profile.pb-c.c

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all check check-unit check-integration workloads bench bench-rows fuzz lint check-layers check-limits \
	check-format check-static format install uninstall clean help

# Goes into other programs: no sanitizers, no libraries but the C library. x86-64 only.
preload_lib := $(if $(filter x86,$(bpf_arch)),$(O)/libcprof-heap.so)
preload_cflags := -std=gnu11 -D_GNU_SOURCE -O2 -g -fPIC -fvisibility=hidden -fno-builtin \
	-mno-red-zone -fno-stack-protector -fno-reorder-blocks-and-partition \
	-ftls-model=initial-exec -Idaemon -Ibpf $(filter -W%,$(cprof_cflags))
preload_ldflags := -shared -Wl,-soname,libcprof-heap.so -Wl,-z,relro,-z,now,-z,defs

all: $(O)/cprofd $(O)/cprof $(preload_lib) ## build cprofd, cprof and libcprof-heap.so

$(O)/cprofd: $(O)/daemon/main.o $(O)/libcprofd.a $(O)/libcprof.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(cprof_ldflags) $(LDFLAGS) -o $@ $^ $(daemon_libs)

$(O)/cprof: $(call objs,$(cli_srcs)) $(O)/libcprof.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(cprof_ldflags) $(LDFLAGS) -o $@ $^ $(base_libs)

$(O)/libcprof.a: $(call objs,$(cprof_srcs)) $(O)/proto/profile.pb-c.o
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/libcprofd.a: $(call objs,$(daemon_srcs))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(O)/libcprof-heap.so: $(patsubst daemon/preload/%.c,$(O)/preload/%.o,$(preload_srcs))
	$(call say,LINK,$@)
	$(Q)$(CC) $(preload_ldflags) -o $@ $^

$(O)/preload/%.o: daemon/preload/%.c $(O)/flags
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -MMD -MP $(preload_cflags) -c -o $@ $<

# Rebuilds when what the commands say changes (flags, version), not only when a source does.
$(O)/flags: FORCE
	$(Q)mkdir -p $(O)
	$(Q)printf '%s\n' '$(subst ','\'',$(CC) $(CFLAGS) $(cprof_cflags) $(cprof_ldflags) \
		$(preload_cflags) $(preload_ldflags))' > $@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@
.PHONY: FORCE
FORCE:

# Likewise for the one file that knows where the library will be installed.
$(O)/libdir: FORCE
	$(Q)mkdir -p $(O)
	$(Q)echo '$(libdir)' > $@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(O)/daemon/session/heap_environment.o: $(O)/libdir
$(O)/daemon/session/heap_environment.o: cprof_cppflags += -DCPROF_LIBDIR='"$(libdir)"'

$(O)/%.o: %.c $(O)/flags
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -MMD -MP $(cprof_cppflags) $(CPPFLAGS) $(cprof_cflags) $(CFLAGS) -c -o $@ $<

# Generated headers that sources include: ordered before the first compilation, exact afterwards.
$(call objs,$(wildcard daemon/collect/*.c)): | $(skeleton)
$(call objs,$(wildcard daemon/export/*.c) $(wildcard tests/unit/*.c)): | $(proto_src)

$(O)/proto/%.pb-c.c $(O)/proto/%.pb-c.h: proto/%.proto
	$(call say,PROTOC,$(O)/proto/$*.pb-c.c)
	$(Q)mkdir -p $(@D)
	$(Q)$(PROTOC_C) --c_out=$(O) $<

$(O)/proto/%.pb-c.o: $(O)/proto/%.pb-c.c
	$(call say,CC,$@)
	$(Q)$(CC) $(cprof_cppflags) $(filter-out -W%,$(cprof_cflags)) $(CFLAGS) -c -o $@ $<

$(O)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(bpf_cflags) -MMD -MP -c -o $@ $<

$(O)/bpf/cprofd.linked.o: $(bpf_objs)
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(skeleton): $(O)/bpf/cprofd.linked.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name cprofd_bpf > $@

# --- tests -------------------------------------------------------------------------------------
$(O)/tests/unit/%: $(O)/tests/unit/%.o $(O)/libcprofd.a $(O)/libcprof.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(cprof_ldflags) $(LDFLAGS) -o $@ $^ $(daemon_libs) -lcmocka $(test_libs)

# What of the library for other programs is plain computing.
$(filter $(O)/tests/unit/test_heap_preload_%,$(unit_bins)): $(addprefix $(O)/daemon/preload/, \
	heap_bootstrap.o heap_live_set.o heap_sampler.o)

# The yardstick of the unwind rows, and of them only.
$(O)/tests/unit/test_unwind_truth: test_libs := -ldw

# What our stacks are compared with: only this program links libdwfl.
truth_objs := $(call objs,$(addprefix tests/bench/,ground_truth.c truth_libdw.c truth_target.c))
truth_bin := $(if $(shell $(PKG_CONFIG) --exists libdw && echo y),$(O)/tests/bench/ground_truth)
$(O)/tests/bench/ground_truth: $(truth_objs) $(O)/libcprofd.a $(O)/libcprof.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(cprof_ldflags) $(LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs libdw) $(daemon_libs)

check: check-unit check-integration ## run every test (root)

check-unit: $(unit_bins) ## run the unit tests
	$(Q)set -e; for t in $(sort $(unit_bins)); do echo "  TEST     $$(basename $$t)"; $$t; done

workloads: ## build the programs the integration tests profile
	$(Q)$(MAKE) -C tests/workloads O=$(abspath $(O))/tests/workloads

check-integration: all workloads $(truth_bin) $(O)/tests/bench/sched_probe ## run the integration tests (root)
	$(Q)CPROFD_BUILD=$(abspath $(O)) $(PYTHON) -m pytest -p no:cacheprovider -ra -q \
		tests/integration $(PYTEST_ARGS)

$(O)/tests/bench/%: $(O)/tests/bench/%.o $(O)/libcprofd.a $(O)/libcprof.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(cprof_ldflags) $(LDFLAGS) -o $@ $^ $(daemon_libs)

# What scheduler latency and heap profiles are compared with.
$(O)/tests/bench/%.bpf.o: tests/bench/%.bpf.c
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(bpf_cflags) -MMD -MP -c -o $@ $<

$(O)/tests/bench/%.skel.h: $(O)/tests/bench/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $* > $@

$(O)/tests/bench/sched_probe.o: $(O)/tests/bench/sched_probe.skel.h
$(O)/tests/bench/heap_recipe.o: $(O)/tests/bench/heap_recipe.skel.h

bench-rows: $(O)/tests/bench/unwind_rows ## measure unwind rows of every ELF file of the distribution
	$(Q)$< $(wildcard /usr/lib/*/libLLVM-*.so.1)
	$(Q)find /usr/bin /usr/lib/$(shell $(CC) -dumpmachine) -type f | $< -q -r 1

# libFuzzer, with the parser's own sources instrumented. New inputs stay in build/.
FUZZ_SECONDS ?= 60
fuzz_targets := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_srcs := $(wildcard daemon/base/*.c daemon/parse/*.c) $(addprefix daemon/unwind/, \
	native_walk.c tables.c rows_copy.c rule_dictionary.c block_space.c)

$(O)/fuzz/%: tests/fuzz/%.c $(fuzz_srcs) \
		$(wildcard daemon/base/*.h daemon/parse/*.h daemon/unwind/*.h bpf/abi/*.h)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -std=gnu11 -D_GNU_SOURCE -O1 -g -fno-omit-frame-pointer $(cprof_cppflags) \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $< $(fuzz_srcs) \
		$(daemon_libs)

fuzz: $(addprefix $(O)/fuzz/,$(fuzz_targets)) ## fuzz each parser for FUZZ_SECONDS
	$(Q)set -e; for t in $(fuzz_targets); do mkdir -p $(O)/fuzz/corpus/$$t; \
		$(O)/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -timeout=2 -rss_limit_mb=1024 \
		-print_final_stats=1 -artifact_prefix=$(O)/fuzz/$$t. $(FUZZ_ARGS) \
		$(O)/fuzz/corpus/$$t tests/fuzz/seeds/$$t; done

bench: all workloads $(addprefix $(O)/tests/bench/,unwind_rows sched_probe heap_recipe) ## measure speed and memory against perf, print a table (root)
	$(Q)CPROFD_BUILD=$(abspath $(O)) $(PYTHON) tests/bench/bench.py $(BENCH_ARGS)

# Preloaded into cprofd by scripts/kernels.sh, in its guests.
$(O)/tests/kernels/%.so: tests/kernels/%.c $(O)/flags
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu11 -Wall -Wextra $(if $(WERROR),-Werror) -O2 -fPIC -shared \
		-o $@ $<

.PHONY: check-kernels
check-kernels: ## run cprofd on older kernels, in an emulator
	$(Q)./scripts/kernels.sh

# --- style -------------------------------------------------------------------------------------
c_files := $(shell git ls-files '*.c' '*.h' 2>/dev/null)

lint: check-layers check-limits check-format check-static ## layers, size limits, format, cppcheck

check-layers:
	$(Q)./scripts/check-layers.sh

check-limits:
	$(Q)./scripts/check-limits.sh

check-format:
	$(call say,FORMAT,all)
	$(Q)$(CLANG_FORMAT) --dry-run --Werror $(c_files)

# Leaks are left to the sanitizers: cppcheck does not know __attribute__((cleanup)).
check-static: $(skeleton) $(proto_src)
	$(call say,CPPCHECK,daemon cli)
	$(Q)$(CPPCHECK) --quiet --std=c11 --enable=warning,portability --inline-suppr \
		--error-exitcode=1 --suppress=missingInclude --suppress=unknownMacro \
		--suppress=memleak --suppress=resourceLeak --suppress=readdirCalled \
		--library=posix -D_GNU_SOURCE -DCPROF_VERSION='"x"' \
		-DCPROF_LIBDIR='"x"' -Idaemon -Ibpf daemon cli

format: ## rewrite the sources with clang-format
	$(Q)$(CLANG_FORMAT) -i $(c_files)

# --- installation ------------------------------------------------------------------------------
install: all ## install to DESTDIR/prefix
	$(Q)$(INSTALL) -D -m 755 $(O)/cprofd $(DESTDIR)$(sbindir)/cprofd
	$(Q)$(INSTALL) -D -m 755 $(O)/cprof $(DESTDIR)$(bindir)/cprof
	$(if $(preload_lib),$(Q)$(INSTALL) -D -m 644 $(preload_lib) $(DESTDIR)$(libdir)/libcprof-heap.so)
	$(Q)$(INSTALL) -D -m 644 daemon/cprofd.8 $(DESTDIR)$(mandir)/man8/cprofd.8
	$(Q)$(INSTALL) -D -m 644 cli/cprof.1 $(DESTDIR)$(mandir)/man1/cprof.1

uninstall: ## remove what install installed
	$(Q)rm -f $(DESTDIR)$(sbindir)/cprofd $(DESTDIR)$(bindir)/cprof \
		$(DESTDIR)$(libdir)/libcprof-heap.so \
		$(DESTDIR)$(mandir)/man8/cprofd.8 $(DESTDIR)$(mandir)/man1/cprof.1

clean: ## remove build/
	$(Q)rm -rf $(O)

help: ## list the targets
	$(Q)sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22
	$(Q)sed -n 's/^#   \([A-Z]*=.*\)/  \1/p' $(firstword $(MAKEFILE_LIST))

-include $(shell find $(O) -name '*.d' 2>/dev/null)
