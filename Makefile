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
TARGET ?= $(if $(SERVER)$(SOCKET),,cases/targets/reference.toml)

SHELL := bash
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all install conformance coverage mutation caught everything units test peers report lint
.PHONY: format clean help setup FORCE
MAKEFLAGS += --no-builtin-rules --no-print-directory $(if $(MAKELEVEL:0=),,-j$(CORES))

FLOWS := reference-server harness
INSTALLED := $(B)/install/share/vfio-user/50-vuc-server.json
SRC = $(filter-out %/main.c,$(wildcard $(1)/*.c))
TESTS := $(wildcard $(FLOWS:%=%/tests/test_*.c))

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
WARN += $(if $(filter 1,$(WERROR)),-Werror)
BASE = -std=c11 -D_GNU_SOURCE $(WARN) $(CPPFLAGS) $(CFLAGS) -pthread
INC_reference-server := -Ireference-server -Iharness
INC_harness := -Iharness
LIBS_reference-server = $(shell pkg-config --libs json-c)

# Variants: the flags that an object and its link take beyond BASE.
VARIANTS := plain asan faulty cov pic
FLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined
FLAGS_asan += -fno-omit-frame-pointer -O1 -g
FLAGS_faulty := -DVUC_FAULTS
FLAGS_cov := -fprofile-instr-generate -fcoverage-mapping -O1
FLAGS_cov += -Wno-unused-command-line-argument -mllvm -runtime-counter-relocation
FLAGS_pic := -fPIC -fvisibility=hidden

Q := $(if $(filter 1,$(V)),,@)
say = @$(if $(Q),mkdir -p $(@D) && printf '  %-4s %s\n' $(1) $(2),mkdir -p $(@D))
objects = $(patsubst %.c,$(B)/obj/$(1)/%.o,$(2))
flow = $(firstword $(subst /, ,$(1)))

all: $(B)/vuc-server $(B)/libvuc.so $(INSTALLED) ## the reference server and the library (default)
	@echo "Built $(filter-out $(INSTALLED),$^). Next: make conformance, make test, make help."

define variant_rule
$(B)/obj/$(1)/%.o: %.c $(B)/flags
	$$(call say,CC,$$<)
	$$(Q)$$(CC) $$(BASE) $$(FLAGS_$(1)) $$(INC_$$(call flow,$$<)) -MMD -MP -c $$< -o $$@
endef
$(foreach v,$(VARIANTS),$(eval $(call variant_rule,$(v))))

define server_rule
$(B)/vuc-server$(2): $(call objects,$(1),$(wildcard reference-server/*.c))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(BASE) $$(FLAGS_$(1)) $$(LDFLAGS) $$^ $$(LIBS_reference-server) -o $$@
endef
$(eval $(call server_rule,plain,))
$(eval $(call server_rule,asan,-asan))
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
	$(Q)$(CC) $(BASE) $(FLAGS_pic) $(LDFLAGS) -shared -Wl,-z,defs $^ -o $@

define unit_rule
$(B)/tests/$(1)/%: $(B)/obj/asan/$(1)/tests/%.o $(call objects,asan,$(call SRC,$(1)))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(BASE) $$(FLAGS_asan) $$(LDFLAGS) $$^ $$(LIBS_$(1)) -lcmocka -o $$@
endef
$(foreach f,$(FLOWS),$(eval $(call unit_rule,$(f))))

UNITS := $(foreach t,$(TESTS),$(B)/tests/$(call flow,$(t))/$(basename $(notdir $(t))))
units: $(UNITS) ## the unit tests as programs, under build/tests/
everything: all $(B)/vuc-server-asan $(B)/vuc-server-faulty units ## every variant

# What is compiled is compiled again when the compiler or a flag changes.
FLAGS_LINE = $(CC) $(BASE) $(LDFLAGS) $(foreach v,$(VARIANTS),$(FLAGS_$(v)))
$(B)/flags: FORCE | setup
	@mkdir -p $(@D) && { echo '$(FLAGS_LINE)' | cmp -s - $@ || echo '$(FLAGS_LINE)' >$@; }

NEEDS_TEST := test units everything $(B)/tests/%
setup:
	@CC='$(CC)' bash ci/setup.sh run $(if $(filter $(NEEDS_TEST),$(MAKECMDGOALS)),test) \
		$(filter lint coverage mutation report,$(patsubst caught,mutation,$(MAKECMDGOALS)))

OURS := $(patsubst reference%,$(B)/vuc-server%,$(filter reference%,$(basename $(notdir $(TARGET)))))
conformance: $(B)/libvuc.so $(INSTALLED) $(sort $(B)/vuc-server $(OURS)) ## cases against a server
	@python=$$(cat build/python) PS4=; set -x; \
	env PYTHONPATH=harness $$python -m pytest -p vuc.plugin cases \
		$(if $(TARGET),--target="$(TARGET)") $(if $(SERVER),--server="$$SERVER") \
		$(if $(SOCKET),--socket="$(SOCKET)") --level=$(LEVEL) \
		$(if $(K),-k "$$K") -n $(JOBS) $(ARGS)

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
	$(Q)$(foreach f,$(FLOWS),clang-tidy --quiet $(wildcard $(f)/*.c $(f)/tests/*.c) \
		-- $(BASE) $(INC_$(f)) &&) true
	$(Q)cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --std=c11 \
		--inline-suppr -D_GNU_SOURCE $(INC_reference-server) $(FLOWS)

format: ## clang-format over all C files
	clang-format -i $(wildcard $(FLOWS:%=%/*.[ch]) $(FLOWS:%=%/tests/*.[ch]))

clean: ## removes build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '  make %-12s %s\n' "$$name" "$$what"; done

-include $(wildcard $(B)/obj/*/*/*.d $(B)/obj/*/*/tests/*.d)
