# SPDX-License-Identifier: BSD-3-Clause
#
# Builds the reference server, the harness library and their unit tests under build/, and is the
# front door to everything that runs them. Sources are found by wildcard; an object lives in
# B/obj/VARIANT/path/of/source.o, where the variant decides its extra flags.

B ?= build
CFLAGS ?= -O2 -g
CORES := $(shell nproc 2>/dev/null || echo 2)
JOBS ?= $(CORES)
LEVEL ?= must
CASES ?= cases
TARGET ?= $(if $(SERVER)$(SOCKET),,cases/targets/reference.toml)

SHELL := bash
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all install conformance soak coverage mutation caught everything units fuzz afl fuzzers
.PHONY: explore explore-rate fuzz-faults fuzz-curve fuzz-rate
.PHONY: corpus replay bench benches demo limits test peers report lint format clean help setup FORCE
MAKEFLAGS += --no-builtin-rules --no-print-directory $(if $(MAKELEVEL:0=),,-j$(CORES))

FLOWS := reference-server harness
INSTALLED := $(B)/install/share/vfio-user/50-vuc-server.json
SRC = $(filter-out $(1)/main%.c,$(wildcard $(1)/*.c)) $(if $(filter harness,$(1)),$(REGISTER))
REGISTER := $(B)/register.c
TESTS := $(wildcard $(FLOWS:%=%/tests/test_*.c))

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
WARN += $(if $(filter 1,$(WERROR)),-Werror)
BASE = -std=c11 -D_GNU_SOURCE $(WARN) $(CPPFLAGS) $(CFLAGS) -pthread
INC_reference-server := -Ireference-server -Iharness
INC_harness := -Iharness
LIBS_reference-server = $(shell pkg-config --libs json-c)
LIBS_harness = $(LIBS_reference-server)

# Variants: the flags that an object and its link take beyond BASE.
VARIANTS := plain asan tsan faulty cov pic fuzz edges quiet flawed race afl cmplog afl-faulty
FLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined
FLAGS_asan += -fno-omit-frame-pointer -O1 -g
FLAGS_tsan := -fsanitize=thread -O1 -g
FLAGS_faulty := -DVUC_FAULTS
FLAGS_cov := -fprofile-instr-generate -fcoverage-mapping -O1
FLAGS_cov += -Wno-unused-command-line-argument -mllvm -runtime-counter-relocation
FLAGS_pic := -fPIC -fvisibility=hidden
FLAGS_fuzz := $(FLAGS_asan) -fsanitize=fuzzer-no-link
FLAGS_edges := $(FLAGS_fuzz) -fno-sanitize-coverage=trace-cmp
FLAGS_quiet := $(FLAGS_asan)
FLAGS_race := $(FLAGS_tsan) -fsanitize=fuzzer-no-link
FLAGS_flawed := $(FLAGS_edges) $(FLAGS_faulty)
FLAGS_afl := $(FLAGS_asan)
FLAGS_cmplog := $(FLAGS_asan)
FLAGS_afl-faulty := $(FLAGS_afl) $(FLAGS_faulty)

Q := $(if $(filter 1,$(V)),,@)
say = @$(if $(Q),mkdir -p $(@D) && printf '  %-4s %s\n' $(1) $(2),mkdir -p $(@D))
objects = $(patsubst %.c,$(B)/obj/$(1)/%.o,$(2))
flow = $(firstword $(subst /, ,$(1)))

all: $(B)/vuc-server $(B)/libvuc.so $(B)/vuc $(INSTALLED) ## server, library, command (default)
	@echo "Built $(filter-out $(INSTALLED),$^). Next: make conformance, make test, make help."

define variant_rule
$(B)/obj/$(1)/%.o: %.c $(B)/flags
	$$(call say,CC,$$<)
	$$(Q)$$(CC) $$(BASE) $$(FLAGS_$(1)) $$(or $$(INC_$$(call flow,$$<)),-Iharness) -MMD -MP \
		-c $$< -o $$@
endef
$(foreach v,$(VARIANTS),$(eval $(call variant_rule,$(v))))

define server_rule
$(B)/vuc-server$(2): $(call objects,$(1),$(wildcard reference-server/*.c))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(BASE) $$(FLAGS_$(1)) $$(LDFLAGS) $$^ $$(LIBS_reference-server) -o $$@
endef
$(eval $(call server_rule,plain,))
$(eval $(call server_rule,asan,-asan))
$(eval $(call server_rule,tsan,-tsan))
$(eval $(call server_rule,faulty,-faulty))
$(eval $(call server_rule,cov,-cov))
# Whatever the others are built with, and not for what they depend on.
$(B)/obj/cov/% $(B)/vuc-server-cov: private CC := clang

# Backend programs have a description beside them ("Backend Program Conventions").
PREFIX ?= /usr/local
DESCRIPTION = {"type": "pci", "description": "vfio-user test device", "binary": "%s"}\n
install: $(B)/vuc-server ## the reference server and its description, under DESTDIR and PREFIX
	$(Q)install -D $< '$(DESTDIR)$(PREFIX)/bin/vuc-server'
	$(Q)install -d '$(DESTDIR)$(PREFIX)/share/vfio-user'
	$(Q)printf '$(DESCRIPTION)' '$(PREFIX)/bin/vuc-server' \
		>'$(DESTDIR)$(PREFIX)/share/vfio-user/50-vuc-server.json'

$(INSTALLED): $(B)/vuc-server
	$(Q)$(MAKE) install B=$(B) PREFIX='$(abspath $(B))/install' DESTDIR=

$(B)/libvuc.so: $(call objects,pic,$(call SRC,harness))
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE) $(FLAGS_pic) $(LDFLAGS) -shared -Wl,-z,defs $^ $(LIBS_harness) -o $@

$(B)/vuc: $(call objects,plain,$(call SRC,harness) $(wildcard harness/main*.c))
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE) $(LDFLAGS) $^ $(LIBS_harness) -o $@

# The register of requirements as a table of C.
$(REGISTER): cases/requirements.toml cases/requirements-viommu.toml ci/register_table.py | setup
	@mkdir -p $(@D)
	$(Q)$$(cat build/python) ci/register_table.py $(filter %.toml,$^) >$@

define unit_rule
$(B)/tests$(3)/$(1)/%: $(B)/obj/$(2)/$(1)/tests/%.o $(call objects,$(2),$(call SRC,$(1)))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(BASE) $$(FLAGS_$(2)) $$(LDFLAGS) $$^ $$(LIBS_$(1)) -lcmocka -o $$@
endef
$(foreach f,$(FLOWS),$(eval $(call unit_rule,$(f),asan)))
$(foreach v,tsan faulty,$(eval $(call unit_rule,reference-server,$(v),-$(v))))

UNITS := $(foreach t,$(TESTS),$(B)/tests/$(call flow,$(t))/$(basename $(notdir $(t))))
RACES := $(patsubst %.c,%,$(notdir $(wildcard reference-server/tests/test_*_race.c)))
UNITS += $(foreach v,tsan faulty,$(RACES:%=$(B)/tests-$(v)/reference-server/%))
units: $(UNITS) ## the unit tests as programs, under build/tests/
everything: all $(patsubst %,$(B)/vuc-server-%,asan tsan faulty) units benches ## every variant

include fuzz/rules.mk

define bench_rule
$(B)/bench/%: $(B)/obj/plain/$(1)/bench/%.o $(call objects,plain,$(call SRC,$(1)) \
		$(filter-out $(1)/bench/bench_%,$(wildcard $(1)/bench/*.c)))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(BASE) $$(LDFLAGS) $$^ $$(LIBS_$(1)) -o $$@
endef
$(foreach f,$(FLOWS),$(eval $(call bench_rule,$(f))))

RUNS ?= 5
BENCH_FILES := $(wildcard $(FLOWS:%=%/bench/bench_*.c))
BENCHES := $(patsubst %.c,$(B)/bench/%,$(notdir $(BENCH_FILES)))
benches: $(BENCHES)
bench: $(B)/vuc-server benches ## times and memory beside peers: RUNS=5, FULL=1, LIBVFIO_USER=
	@$$(cat build/python) ci/bench.py --build=$(B) --runs=$(RUNS) \
		$(if $(filter 1,$(FULL)),--full) $(ARGS)

IOVA ?= 10G
POOL ?= 64M
SVG ?= $(B)/report/demo.svg
demo: $(B)/vuc-server $(B)/bench/bench_paging ## a device on memory that is not there: IOVA= POOL=
	@mkdir -p $(dir $(SVG)) && $$(cat build/python) ci/demo.py --build=$(B) --iova=$(IOVA) \
		--pool=$(POOL) --svg='$(SVG)' $(ARGS) $(if $(SERVER),-- $$SERVER)

# What is compiled is compiled again when the compiler or a flag changes.
FLAGS_LINE = $(CC) $(BASE) $(LDFLAGS) $(foreach v,$(VARIANTS),$(FLAGS_$(v)))
$(B)/flags: FORCE | setup
	@mkdir -p $(@D) && { echo '$(FLAGS_LINE)' | cmp -s - $@ || echo '$(FLAGS_LINE)' >$@; }

NEEDS_TEST := test units everything $(B)/tests/%
setup:
	@CC='$(CC)' bash ci/setup.sh run $(if $(filter $(NEEDS_TEST),$(MAKECMDGOALS)),test) \
		$(sort $(filter lint fuzz afl coverage mutation report demo,\
			$(patsubst fuzz-%,fuzz,$(MAKECMDGOALS:caught=mutation)))) \
		$(if $(filter limits bench mutation,$(MAKECMDGOALS)),progress)

OURS := $(patsubst reference%,$(B)/vuc-server%,\
	$(filter reference%,$(patsubst %-poc,%,$(basename $(notdir $(TARGET))))))
conformance: $(B)/libvuc.so $(INSTALLED) $(sort $(B)/vuc-server $(OURS)) ## cases against a server
	@python=$$(cat build/python) PS4=; set -x; \
	env PYTHONPATH=harness $$python -m pytest -p vuc.plugin $(CASES) \
		$(if $(TARGET),--target="$(TARGET)") $(if $(SERVER),--server="$$SERVER") \
		$(if $(SOCKET),--socket="$(SOCKET)") --level=$(LEVEL) \
		$(if $(K),-k "$$K") -n $(JOBS) $(ARGS)

soak: ## the cases about mappings under a running device in full length; prints their figures
	@$(MAKE) conformance CASES=cases/viommu SCALE=1 LEVEL=all JOBS=1

# The short run is a tenth of the load; each has a baseline of its own.
limits: $(B)/libvuc.so $(INSTALLED) $(sort $(B)/vuc-server $(OURS)) ## floods: QUICK=1, BASELINE=
	@$$(cat build/python) ci/limits.py $(if $(TARGET),--target="$(TARGET)") \
		$(if $(SERVER),--server="$$SERVER") $(if $(BASELINE),--baseline="$(BASELINE)") \
		$(if $(filter 1,$(QUICK)),--quick) $(if $(K),--select="$$K") \
		$(if $(VERSION),--version="$(VERSION)") $(ARGS)

corpus: ## what the cases send, as programs in build/corpus/cases/: seeds of fuzzers
	@rm -rf $(B)/corpus/cases $(B)/corpus/timed
	@$(MAKE) conformance LEVEL=all ARGS='--record=$(abspath $(B))/corpus/cases $(ARGS)'
	@mkdir -p $(B)/corpus/timed && shopt -s nullglob && for file in \
		$(B)/corpus/cases/{device_dma,dma_messages,viommu}*; do \
		[[ "$$file" =~ viommu-(extension|page_|range|replace|space) ]] || \
			mv "$$file" $(B)/corpus/timed/; done

coverage: $(B)/libvuc.so $(INSTALLED) $(B)/vuc-server-cov ## of the server, by the cases alone
	@$$(cat build/python) ci/coverage.py

N ?= 200
SEED ?= 1
mutation: $(B)/libvuc.so $(INSTALLED) $(B)/vuc-server-cov ## small mistakes in the server: N=, SEED=
	@$$(cat build/python) ci/mutation.py run -n $(N) --seed $(SEED) $(ARGS)

caught: $(B)/libvuc.so $(INSTALLED) $(B)/vuc-server-cov ## what each MUST case has caught, anew
	@$$(cat build/python) ci/mutation.py table $(ARGS)

report: $(B)/libvuc.so ## one page of HTML, and one of Markdown, over all targets that were run
	@$$(cat build/python) ci/report/make_report.py

test: setup ## all tests, part by part
	@CC='$(CC)' WERROR='$(WERROR)' bash ci/run.sh

ifneq ($(wildcard ci/peers/run.sh),)
peers: $(B)/libvuc.so $(B)/vuc-server ## the suite against servers that others wrote
	@bash ci/peers/run.sh
endif

lint: setup ## clang-tidy and cppcheck over all C files
	$(Q)$(foreach f,$(FLOWS) fuzz,printf '%s\n' $(wildcard $(f)/*.c $(f)/*/*.c) | \
		xargs -P $(CORES) -n 4 sh -c 'clang-tidy --quiet "$$@" -- $(BASE) $(INC_$(f))' sh \
		&&) true
	$(Q)cppcheck --quiet -j $(CORES) --error-exitcode=1 --std=c11 -D_GNU_SOURCE \
		--inline-suppr --enable=warning,performance,portability \
		$(INC_reference-server) $(FLOWS) fuzz

format: ## clang-format over all C files
	clang-format -i $(wildcard $(foreach f,$(FLOWS) fuzz,$(f)/*.[ch] $(f)/*/*.[ch]))

clean: ## removes build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile fuzz/rules.mk | \
		while IFS='|' read -r name what; do \
		printf '  make %-12s %s\n' "$$name" "$$what"; done

-include $(wildcard $(B)/obj/*/*/*.d $(B)/obj/*/*/tests/*.d $(B)/obj/*/*/bench/*.d)
