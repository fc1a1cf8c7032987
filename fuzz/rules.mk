# SPDX-License-Identifier: BSD-3-Clause
#
# The fuzzers: part of the Makefile, which includes this. An entry is a file fuzz_NAME.c; its seeds
# are in corpus/NAME. Variants: `fuzz` counts coverage and `quiet` does not, both of clang; `edges`
# counts it and does not tell the engine what is compared, which takes a third of the time and is of
# no use where inputs are changed as programs; `flawed` is that with the faults of the server; `race`
# is with ThreadSanitizer; `afl` and `cmplog` are of AFL++.

FUZZER ?= session
TIME ?= 60
MAX_LEN ?= 2048
FUZZERS := $(patsubst fuzz/fuzz_%.c,%,$(wildcard fuzz/fuzz_*.c))
INC_fuzz := $(INC_reference-server)

# The server in the same process, over memory, or over sockets as an example of an adapter.
FUZZ_DRIVERS := $(addprefix fuzz/,account_process.c driver.c input.c runner.c)
FUZZ_LOOP := $(addprefix fuzz/,loopback.c loop_transport.c account.c inproc.c stage.c flood_files.c \
	order_programs.c)
FUZZ_ADAPTER := $(addprefix fuzz/,adapter_link.c adapter_reference.c account.c inproc.c)
# What has threads, over sockets too.
FUZZ_THREADS := $(addprefix fuzz/,threaded.c account.c inproc.c)
FUZZ_SERVER = $(call SRC,reference-server)
LOOPED = $(filter-out %/transport_socket.c,$(FUZZ_SERVER))

# What is to be covered: the server; of `text` and `client` it is the harness, which else is the judge.
served = $(if $(filter race,$(1)),$(FUZZ_SERVER),$(LOOPED))
linked = $(FUZZ_DRIVERS) $(if $(filter race,$(1)),$(FUZZ_THREADS),$(FUZZ_LOOP))
fuzz_objects = $(call objects,$(2),fuzz/fuzz_$(1).c $(call served,$(1))) \
	$(call objects,$(if $(filter text client,$(1)),$(2),quiet),$(call SRC,harness)) \
	$(call objects,quiet,$(call linked,$(1)))
# Entries whose inputs are programs, and those that have them changed as such.
PACKED := $(patsubst fuzz/fuzz_%.c,%,$(shell grep -l '"pack.h"' $(wildcard fuzz/fuzz_*.c)))
MUTATED := $(filter-out text,$(PACKED))
# Who builds for an engine of his own says what it is and how it is linked (ci/oss-fuzz/build.sh).
ENGINE ?= -fsanitize=fuzzer
FUZZ_LINK ?= $(CC) $(BASE) $(FLAGS_asan)
define fuzz_rule
$(B)/fuzz/fuzz_$(1): $(call fuzz_objects,$(1),$(if $(filter $(1),$(MUTATED)),edges,fuzz)) \
		$(if $(filter $(1),$(MUTATED)),$(call objects,quiet,fuzz/mutator.c))
	$$(call say,LINK,$$@)
	$$(Q)$$(FUZZ_LINK) $$(LDFLAGS) $$^ $$(ENGINE) $$(LIBS_reference-server) -o $$@
endef
$(B)/obj/fuzz/% $(B)/obj/edges/% $(B)/obj/quiet/% $(B)/obj/race/% $(B)/fuzz/fuzz_%: private CC := clang
$(foreach f,$(FUZZERS),$(eval $(call fuzz_rule,$(f))))

$(B)/fuzz/fuzz_race-tsan: $(call objects,race,fuzz/fuzz_race.c fuzz/mutator.c $(FUZZ_SERVER) \
		$(call SRC,harness) $(FUZZ_DRIVERS) $(FUZZ_THREADS))
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE) $(FLAGS_tsan) $(LDFLAGS) $^ -fsanitize=fuzzer $(LIBS_reference-server) -o $@

define replay_rule
$(B)/fuzz/$(1): $(B)/obj/asan/fuzz/fuzz_$(lastword $(subst _, ,$(1))).o \
		$(call objects,asan,fuzz/replay.c $(2) $(call SRC,harness) $(FUZZ_DRIVERS))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(BASE) $$(FLAGS_asan) $$(LDFLAGS) $$^ $$(LIBS_reference-server) -o $$@
endef
$(eval $(call replay_rule,replay_%,$(LOOPED) $(FUZZ_LOOP)))
$(eval $(call replay_rule,replay_race,$(FUZZ_SERVER) $(FUZZ_THREADS)))
$(eval $(call replay_rule,adapted_%,$(FUZZ_SERVER) $(FUZZ_ADAPTER)))

$(B)/fuzz/measure: $(call objects,asan,fuzz/measure.c $(LOOPED) $(call SRC,harness) $(FUZZ_DRIVERS) \
		$(FUZZ_LOOP))
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE) $(FLAGS_asan) $(LDFLAGS) $^ $(LIBS_reference-server) -o $@

# AFL++ loads this (AFL_CUSTOM_MUTATOR_LIBRARY).
$(B)/fuzz/mutator.so: $(call objects,pic,$(call SRC,harness)) fuzz/mutator.c
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE) -fPIC $(INC_fuzz) $(LDFLAGS) -shared $^ $(LIBS_harness) -o $@

# With AFL++, whose driver is the main; `cmplog` also tells it what is compared.
define afl_rule
$(B)/afl/$(2)_$(1): $(call fuzz_objects,$(1),$(2))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(BASE) $$(FLAGS_asan) -fsanitize=fuzzer $$(LDFLAGS) $$^ \
		$$(LIBS_reference-server) -o $$@
endef
$(B)/obj/afl/% $(B)/afl/afl_%: private CC := AFL_QUIET=1 afl-clang-fast
$(B)/obj/cmplog/% $(B)/afl/cmplog_%: private CC := AFL_QUIET=1 AFL_LLVM_CMPLOG=1 afl-clang-fast
$(foreach f,$(FUZZERS),$(foreach v,afl cmplog,$(eval $(call afl_rule,$(f),$(v)))))

# The session entry with the faults of the server (fault.h), of which VUC_FAULT names those that are on.
faulty_objects = $(call objects,$(1),fuzz/fuzz_session.c $(LOOPED) $(FUZZ_LOOP)) \
	$(call objects,$(2),$(call SRC,harness) $(FUZZ_DRIVERS) $(3))
$(B)/faulty/replay_session: $(call faulty_objects,faulty,plain,fuzz/replay.c)
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE) $(LDFLAGS) $^ $(LIBS_reference-server) -o $@
$(B)/faulty/reduce_session: $(call faulty_objects,flawed,quiet,fuzz/reduce.c)
$(B)/faulty/replay_race: $(call objects,flawed,fuzz/fuzz_race.c $(FUZZ_SERVER) $(FUZZ_THREADS)) \
		$(call objects,quiet,$(call SRC,harness) $(FUZZ_DRIVERS) fuzz/replay.c)
$(B)/faulty/reduce_session $(B)/faulty/replay_race:
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE) $(FLAGS_asan) $(LDFLAGS) $^ $(LIBS_reference-server) -o $@
$(B)/faulty/fuzz_session: $(call faulty_objects,flawed,quiet,fuzz/mutator.c)
$(B)/faulty/afl_session: $(call faulty_objects,afl-faulty,quiet,)
$(B)/faulty/fuzz_order: $(call objects,flawed,fuzz/fuzz_order.c $(LOOPED) $(FUZZ_LOOP)) \
		$(call objects,quiet,$(call SRC,harness) $(FUZZ_DRIVERS))
$(B)/faulty/fuzz_session $(B)/faulty/fuzz_order $(B)/faulty/afl_session:
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE) $(FLAGS_asan) -fsanitize=fuzzer $(LDFLAGS) $^ \
		$(LIBS_reference-server) -o $@
$(B)/obj/flawed/% $(B)/faulty/fuzz_% $(B)/faulty/reduce_% $(B)/faulty/replay_race: \
	private CC := clang
$(B)/obj/afl-faulty/% $(B)/faulty/afl_%: private CC := AFL_QUIET=1 afl-clang-fast

fuzzers: $(FUZZERS:%=$(B)/fuzz/fuzz_%)

# What threads do need not come again: in how many runs of how many?
WAVERS = $(if $(filter race,$(FUZZER)),--count $(if $(TRIES),,--tries=20))
# Programs are printed, and have more seeds: those of cases too once `make corpus` has made them.
# Where time is virtual what takes time is a seed, too. RESUME=1 goes on with what is there.
PROGRAMS = $(filter $(FUZZER),$(PACKED))
FUZZ_SEEDS = $(wildcard fuzz/corpus/$(FUZZER)) \
	$(if $(PROGRAMS),$(wildcard corpus/*/ $(B)/corpus/cases)) \
	$(if $(filter session,$(FUZZER)),$(wildcard $(B)/corpus/timed))
MUTATOR = $(if $(filter $(FUZZER),$(MUTATED)),$(B)/fuzz/mutator.so)
campaign = @$$(cat build/python) ci/campaign.py $(1) $(FUZZER) --build=$(B) --time=$(TIME) \
	--jobs=$(JOBS) --max-len=$(MAX_LEN) $(addprefix --tries=,$(TRIES)) $(WAVERS) \
	$(if $(filter 1,$(RESUME)),--resume) $(FUZZ_SEEDS:%=--seeds=%) \
	$(if $(PROGRAMS),--vuc=$(B)/vuc) $(2) -- $(ARGS)

# Of a server that is named: over its socket, whoever wrote it, by programs that vuc makes up. What
# only an engine understands is refused there.
OF_ENGINES = $(strip $(foreach v,FUZZER JOBS MAX_LEN RESUME TRIES TSAN,\
	$(if $(filter-out undefined file,$(origin $(v))),$(addprefix $(v)=,$($(v))))))
ifeq ($(SERVER)$(SOCKET)$(filter-out file,$(origin TARGET)),)
FUZZ_BINARY = $(B)/fuzz/fuzz_$(FUZZER)$(TSAN:1=-tsan)
fuzz: $(FUZZ_BINARY) $(if $(PROGRAMS),$(B)/vuc) ## FUZZER=session TIME=60 RESUME= TSAN=; TARGET=
	$(call campaign,fuzz,--binary=$<)
else ifneq ($(OF_ENGINES),)
fuzz:
	@echo 'make fuzz: not for a server that is named: $(OF_ENGINES)' >&2; exit 2
else
fuzz: $(B)/vuc $(B)/libvuc.so $(OURS)
	@$$(cat build/python) ci/fuzz_server.py $(if $(TARGET),--target='$(TARGET)') \
		$(if $(SERVER),--server="$$SERVER") $(if $(SOCKET),--socket='$(SOCKET)') \
		--vuc=$< --build=$(B) --level=$(LEVEL) --time=$(TIME) --seeds=corpus/seed \
		--seeds=corpus/regress -- $(ARGS)
endif

# What the fuzzer of sessions, or of orders, finds of the faults of the server, from nothing: FAULTS.md.
FAULT_NEEDS = $(B)/faulty/fuzz_$(FUZZER) $(if $(filter session,$(FUZZER)),$(B)/faulty/reduce_session)
fuzz-faults: $(FAULT_NEEDS) ## TIME=60 LONG=0 CPU-seconds each; FUZZER=order
	@$$(cat build/python) ci/fuzz_faults.py --build=$(B) --time=$(TIME) --jobs=$(JOBS) \
		--fuzzer=$(FUZZER) $(addprefix --long=,$(LONG)) --table=fuzz/FAULTS.md $(ARGS)

fuzz-curve: $(B)/fuzz/fuzz_session $(B)/fuzz/fuzz_wire $(B)/vuc ## coverage over TIME=60 CPU-seconds
	@$$(cat build/python) ci/fuzz_curve.py --build=$(B) --time=$(TIME) --vuc=$(B)/vuc $(ARGS) \
		session=fuzz/corpus/session,corpus/seed,corpus/regress wire=fuzz/corpus/wire

fuzz-rate: $(B)/vuc $(B)/vuc-server $(B)/bench/bench_null ## over a socket, beside a null server
	@$$(cat build/python) ci/fuzz_rate.py --build=$(B) --corpus=corpus/seed \
		--corpus=corpus/regress $(ARGS)

AFL_NEEDS = $(B)/afl/cmplog_$(FUZZER) $(MUTATOR) $(if $(PROGRAMS),$(B)/vuc)
afl: $(B)/afl/afl_$(FUZZER) $(AFL_NEEDS) ## the same with AFL++
	$(call campaign,afl,--binary=$< --cmplog=$(word 2,$^) $(addprefix --mutator=,$(MUTATOR)))

# The last lines: what a server replies is the same over memory and over sockets, in programs too.
SPOKEN := $(filter session version wire,$(FUZZERS))
said = fuzz/corpus/$(1)/* $(if $(filter session,$(1)),corpus/seed/*.prog corpus/regress/*.prog)
replay: $(FUZZERS:%=$(B)/fuzz/replay_%) $(SPOKEN:%=$(B)/fuzz/adapted_%) ## the stored inputs, any compiler
	@$(foreach f,$(FUZZERS),$(B)/fuzz/replay_$(f) $(call said,$(f)) &&) true
	@export VUC_REPLIES=1; $(foreach f,$(SPOKEN), \
		diff <($(B)/fuzz/replay_$(f) $(call said,$(f))) \
			<($(B)/fuzz/adapted_$(f) $(call said,$(f))) &&) true

# All orders of the events of small scenarios; the second program has faults to be found.
EXPLORE := $(wildcard fuzz/explore*.c) $(addprefix fuzz/,loop_transport.c account.c \
	account_process.c inproc.c)
define explore_rule
$(B)/explore$(2): $(call objects,$(1),$(EXPLORE) $(LOOPED) $(call SRC,harness))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(BASE) $$(FLAGS_$(1)) $$(LDFLAGS) $$^ $$(LIBS_reference-server) -o $$@
endef
$(eval $(call explore_rule,plain,))
$(eval $(call explore_rule,faulty,-faulty))

# The same scenarios on a server that is named, by samples; nothing of ours is in the process.
SAMPLE := $(wildcard fuzz/sample*.c) $(addprefix fuzz/explore_,scenario.c message.c name.c watch.c \
	group.c memory.c record.c)
$(B)/explore-socket: $(call objects,plain,$(SAMPLE) $(call SRC,harness))
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE) $(LDFLAGS) $^ $(LIBS_harness) -o $@

ifeq ($(SERVER)$(SOCKET)$(filter-out file,$(origin TARGET)),)
explore: $(B)/explore ## every order of the events of small scenarios: SCENARIO= BOUND=; TARGET=
	@$< --compare $(addprefix --scenario=,$(SCENARIO)) $(addprefix --bound=,$(BOUND)) $(ARGS)
else
explore: $(B)/explore-socket $(B)/libvuc.so $(OURS)
	@$$(cat build/python) ci/explore_server.py $(if $(TARGET),--target='$(TARGET)') \
		$(if $(SERVER),--server="$$SERVER") $(if $(SOCKET),--socket='$(SOCKET)') --build=$(B) \
		$(addprefix --scenario=,$(SCENARIO)) $(addprefix --samples=,$(SAMPLES)) \
		$(if $(filter-out file,$(origin SEED)),--seed=$(SEED)) -- $(ARGS)
endif

explore-rate: $(B)/explore $(B)/explore-socket $(B)/vuc-server ## what the search saves, by SCHEDULES=200
	@$$(cat build/python) ci/explore_rate.py --build=$(B) $(addprefix --schedules=,$(SCHEDULES)) \
		$(addprefix --scenario=,$(SCENARIO))
