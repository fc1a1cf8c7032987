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
.PHONY: all conformance everything units test peers lint format clean help setup FORCE
MAKEFLAGS += --no-builtin-rules --no-print-directory $(if $(MAKELEVEL:0=),,-j$(CORES))

FLOWS := reference-server harness
SRC = $(filter-out %/main.c,$(wildcard $(1)/*.c))
TESTS := $(wildcard $(FLOWS:%=%/tests/test_*.c))

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
WARN += $(if $(filter 1,$(WERROR)),-Werror)
BASE = -std=c11 -D_GNU_SOURCE $(WARN) $(CPPFLAGS) $(CFLAGS) -pthread
INC_reference-server := -Ireference-server -Iharness
INC_harness := -Iharness
LIBS_reference-server = $(shell pkg-config --libs json-c)

# Variants: the flags that an object and its link take beyond BASE.
VARIANTS := plain asan faulty pic
FLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined
FLAGS_asan += -fno-omit-frame-pointer -O1 -g
FLAGS_faulty := -DVUC_FAULTS
FLAGS_pic := -fPIC -fvisibility=hidden

Q := $(if $(filter 1,$(V)),,@)
say = @$(if $(Q),mkdir -p $(@D) && printf '  %-4s %s\n' $(1) $(2),mkdir -p $(@D))
objects = $(patsubst %.c,$(B)/obj/$(1)/%.o,$(2))
flow = $(firstword $(subst /, ,$(1)))

all: $(B)/vuc-server $(B)/libvuc.so ## the reference server and the harness library (default)
	@echo "Built $^. Next: make conformance, make test, make help."

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
		$(filter lint,$(MAKECMDGOALS))

OURS := $(patsubst reference%,$(B)/vuc-server%,$(filter reference%,$(basename $(notdir $(TARGET)))))
conformance: $(B)/libvuc.so $(sort $(B)/vuc-server $(OURS)) ## the cases against a server
	@python=$$(cat build/python) PS4=; set -x; \
	env PYTHONPATH=harness $$python -m pytest -p vuc.plugin cases \
		$(if $(TARGET),--target="$(TARGET)") $(if $(SERVER),--server="$$SERVER") \
		$(if $(SOCKET),--socket="$(SOCKET)") --level=$(LEVEL) \
		$(if $(K),-k "$$K") -n $(JOBS) $(ARGS)

test: setup ## all tests, part by part
	@CC='$(CC)' WERROR='$(WERROR)' bash ci/run.sh

ifneq ($(wildcard ci/peers/run.sh),)
peers: $(B)/libvuc.so ## the suite against servers that others wrote
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
