# SPDX-License-Identifier: BSD-2-Clause
# Programs that run under libcprof-heap.so, alone and linked with each allocator that is there, and
# the build of the library that keeps a ledger of what it reports.

.DEFAULT_GOAL := all

preload_allocators := $(strip $(foreach a,jemalloc.so.2 tcmalloc_minimal.so.4 \
	tcmalloc_minimal_debug.so.4 mimalloc.so.2,\
	$(if $(filter /%,$(shell $(CC) -print-file-name=lib$(a))),$(a))))
preload_names := $(basename $(basename $(preload_allocators)))
preload_plain := preload_storm preload_keep preload_host preload_fork preload_early preload_listen
preload_cxx := $(if $(shell command -v $(CXX)),libpreload_module.so libpreload_module_static.so \
	$(foreach s,$(addprefix _,$(preload_names)) "",preload_functions$(subst ",,$(s))))
preload := $(if $(filter x86_64,$(shell uname -m)),$(preload_plain) libpreload_dlsym.so \
	libcprof-heap-ledger.so $(addprefix preload_storm_,$(preload_names)) $(preload_cxx))

preload_cc = $(Q)mkdir -p $(O) && echo '  WORKLOAD $(@F)' && $(CC) $(nofp_flags) -O2 -fno-builtin
preload_cxx_cc = $(Q)mkdir -p $(O) && echo '  WORKLOAD $(@F)' && $(CXX) -g0 -O2 -std=c++17 \
	-fno-builtin -Wall -Wextra
preload_needs := preload_ledger.h workload.h Makefile preload.mk
preload_file = $(filter %/lib$*.so.2 %/lib$*.so.4,$(foreach a,$(preload_allocators),\
	$(shell $(CC) -print-file-name=lib$(a))))

$(addprefix $(O)/,$(preload_plain)): $(O)/%: %.c $(preload_needs)
	$(preload_cc) -I../../daemon -o $@ $< -pthread -ldl -lm
$(O)/preload_storm_%: preload_storm.c $(preload_needs)
	$(preload_cc) -I../../daemon -o $@ $< -Wl,--no-as-needed $(preload_file) \
		-pthread -ldl -lm
$(O)/preload_functions: preload_functions.cpp $(preload_needs)
	$(preload_cxx_cc) -o $@ $< -ldl
$(O)/preload_functions_%: preload_functions.cpp $(preload_needs)
	$(preload_cxx_cc) -o $@ $< -Wl,--no-as-needed $(preload_file) -ldl
$(O)/libpreload_module.so: preload_module.cpp $(preload_needs)
	$(preload_cxx_cc) -shared -fPIC -o $@ $<
$(O)/libpreload_module_static.so: preload_module.cpp $(preload_needs)
	$(preload_cxx_cc) -shared -fPIC -static-libstdc++ -static-libgcc -o $@ $<
$(O)/libpreload_dlsym.so: preload_dlsym.c $(preload_needs)
	$(preload_cc) -shared -fPIC -o $@ $< -ldl
# The library's own flags, those that change what it does.
$(O)/libcprof-heap-ledger.so: preload_ledger.c $(wildcard ../../daemon/preload/*.[ch]) $(preload_needs)
	$(preload_cc) -DHEAP_USDT_LEDGER -I../../daemon -I../../bpf -fPIC -fvisibility=hidden \
		-mno-red-zone -ftls-model=initial-exec -foptimize-sibling-calls \
		-Wno-unused-parameter -shared -Wl,-z,now -o $@ $< $(wildcard ../../daemon/preload/*.c) -pthread
