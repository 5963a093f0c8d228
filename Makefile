# harp needs no build: vendor harp.h and harp_impl.c. This file builds the examples, the converter and the tests.
#
#   make            the library's object and the programs, into build/
#   make run        tells a story with the bundled model, HARP on
#   make test       the fast tests; GROUP=converter for a group of tests/groups/, ONE=test_words for a single program
#   make test-all   those, and the matrix of compilers, machines and sanitizers (needs clang, cross compilers, qemu)
#   make strict     all programs with -Werror, into build/strict
#   make web        the web page, into build/web
#   make fuzz       MINUTES=1 of fuzzing for each target, or for TARGETS="json chat"; fuzz-afl: by AFL++;
#                   fuzz-programs: harp-convert itself, under limits of memory and time
#   make coverage   what the tests reach in harp_impl.c, chapter by chapter
#   make matrix     one hash from every machine; its table goes into tests/README.md
#   make desks      all programs on the other systems; those for Windows run under wine
#   make machines   the tests' state machine under sanitizers, in 32 bits, under valgrind
#   make compilers  the library under every compiler that is here
#   make clean      build/ goes; "make help" prints these lines
#
# CC, CFLAGS, LDFLAGS and LDLIBS are yours to set, and reach every compilation and link; B is where things go. Another
# system's compiler makes that system's programs:  make CC=x86_64-w64-mingw32-gcc B=build/windows

CC ?= cc
CXX ?= c++
CFLAGS ?= -O2
STD = -std=c99
STRICT = $(STD) -pedantic -Wall -Wextra -Wconversion -Wshadow $(WERROR)
B = build

# Windows: programs end in .exe, and threads are the system's own. Elsewhere -pthread is for C libraries that keep
# threads apart (glibc before 2.34).
ifneq (,$(findstring mingw,$(shell $(CC) -dumpmachine 2> /dev/null))$(findstring windows,$(CC)))
E = .exe
LIBS = -lm $(LDLIBS)
else
LIBS = -lm -pthread $(LDLIBS)
endif

# Programs are compiled side by side, as many as there are processors, unless -j says how many: recipes see it in
# MAKEFLAGS, the rest of this file does not, so "all" and "test" call make once more.
PROCESSORS = $(shell getconf _NPROCESSORS_ONLN 2> /dev/null || nproc 2> /dev/null || echo 2)
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(PROCESSORS))

# One name per line.
PROGRAMS = \
	harp \
	harp-convert \
	harp-bench \
	harp-eval \
	hello \
	chat \
	classify \
	votes \
	own_measure \
	json \
	no_malloc \
	form-bench

# What the groups of tests/groups/ need; ONE picks a program, GROUP a group.
library_tests = test_library test_inputs test_format test_conformance test_models test_slices test_together test_threads \
	test_decoders test_tokenizer test_words test_conversation test_faults test_faults_stdio test_promises test_numbers machine variants \
	as_gguf
converter_tests = test_convert test_convert_faults test_calibrate test_chat test_gguf test_quality variants as_gguf
programs_tests = test_eval test_edit test_form planted
portability_tests = test_library test_files test_vendoring_c test_vendoring_cpp machine
EVERY_TEST = $(sort $(library_tests) $(converter_tests) $(programs_tests) $(portability_tests))
MAKERS = variants as_gguf planted # of files that tests read
TESTS = $(if $(ONE),$(filter $(ONE) $(MAKERS),$(EVERY_TEST)),$(if $(GROUP),$($(GROUP)_tests),$(EVERY_TEST)))

COMPILE = $(CC) $(STRICT) $(CFLAGS)
LINK = $(CC) $(STRICT) $(CFLAGS) $(LDFLAGS)

all:
	@$(MAKE) --no-print-directory $(JOBS) programs

programs: $(B)/harp_impl.o $(PROGRAMS:%=$(B)/%$(E))

$(B)/harp_impl.o: harp.h harp_impl.c
	@mkdir -p $(B)
	$(COMPILE) -c harp_impl.c -o $@

# The converter, which leans on the library to check what it wrote. tools/convert/ground is what other programs share
# with it; model and file make a .harp file of what is not a checkpoint, for the benchmark.
CONVERT = $(wildcard tools/convert/*.c tools/convert/*/*.c)
CONVERT_HEADERS = $(wildcard tools/convert/*.h tools/convert/*/*.h)
CONVERT_OBJECTS = $(CONVERT:tools/convert/%.c=$(B)/tools/%.o)
CONVERT_PROGRAM = $(B)/tools/convert.o $(B)/tools/check.o $(B)/tools/calibrate.o $(B)/tools/recommend.o
GROUND = $(filter $(B)/tools/ground/%,$(CONVERT_OBJECTS))
POUR = $(filter $(B)/tools/ground/% $(B)/tools/model/% $(B)/tools/file/%,$(CONVERT_OBJECTS))
PARTS = $(filter-out $(CONVERT_PROGRAM),$(CONVERT_OBJECTS))

$(B)/tools/%.o: tools/convert/%.c $(CONVERT_HEADERS) harp.h
	@mkdir -p $(@D)
	$(COMPILE) -c $< -o $@

$(B)/harp-convert$(E): $(CONVERT_OBJECTS) $(B)/harp_impl.o
	$(LINK) $(CONVERT_OBJECTS) $(B)/harp_impl.o -o $@ $(LIBS)

# The command line and the small examples.
FORM = examples/form/harp_form.h
COMMAND = $(wildcard examples/harp/*.c)

$(B)/harp$(E): $(COMMAND) $(wildcard examples/harp/*.h) $(FORM) $(GROUND) $(B)/harp_impl.o
	$(LINK) $(COMMAND) $(GROUND) $(B)/harp_impl.o -o $@ $(LIBS)

SMALL = hello chat classify votes own_measure json

$(SMALL:%=$(B)/%$(E)): $(B)/%$(E): examples/%.c $(B)/harp_impl.o
	$(LINK) $< $(B)/harp_impl.o -o $@ $(LIBS)

$(B)/json$(E): $(FORM)

$(B)/form-bench$(E): examples/form/bench.c $(FORM) $(B)/harp_impl.o
	$(LINK) $< $(B)/harp_impl.o -o $@ $(LIBS)

$(B)/no_malloc$(E): examples/no_malloc.c harp.h harp_impl.c
	@mkdir -p $(B)
	$(LINK) -O1 -DHARP_NO_MALLOC -DHARP_NO_STDIO -DHARP_NO_MMAP -DHARP_NO_SIMD examples/no_malloc.c harp_impl.c \
	    -o $@ $(LIBS)

# The paper's table.
EVAL = $(wildcard examples/eval/*.c)

$(B)/harp-eval$(E): $(EVAL) examples/eval/eval.h $(GROUND) $(B)/harp_impl.o
	$(LINK) $(EVAL) $(GROUND) $(B)/harp_impl.o -o $@ $(LIBS)

# The benchmark makes its random models with the converter's plan and writer.
BENCH = $(wildcard examples/bench/*.c)
$(B)/harp-bench$(E): $(BENCH) examples/bench/bench.h $(POUR) $(B)/harp_impl.o
	$(LINK) $(BENCH) $(POUR) $(B)/harp_impl.o -o $@ $(LIBS)

# All of it once more with warnings as errors: what continuous integration builds. Not the default, for every compiler
# that is yet to come has warnings of its own.
strict:
	@$(MAKE) --no-print-directory $(JOBS) WERROR=-Werror B=$(B)/strict programs

TEST_FLAGS = -std=c99 -Wall -Wextra $(WERROR)
MODELS_IN_MEMORY = tests/harp_file.h tests/fuzz/make_harp.h tests/fuzz/fuzz.h tools/convert/ground/bytes.h

$(EVERY_TEST:%=$(B)/%): tests/test.h

# Insiders: what they look at no call of harp.h shows. tests/inside.h has windows; without vector instructions, which do
# not matter there, the library compiles in seconds.
$(B)/inside.o: tests/inside.c tests/inside.h harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) $(TEST_FLAGS) -O1 -DHARP_NO_SIMD -c $< -o $@

INSIDERS = words format faults promises

$(INSIDERS:%=$(B)/test_%): $(B)/test_%: tests/test_%.c $(MODELS_IN_MEMORY) tests/inside.h $(B)/inside.o
	$(CC) $(TEST_FLAGS) $(LDFLAGS) $(CFLAGS) $< $(filter %.o,$^) -o $@ $(LIBS)

$(B)/test_words: $(B)/tools/ground/json_write.o

$(B)/test_numbers: tests/test_numbers.c tests/harp_file.h harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) $(TEST_FLAGS) $(LDFLAGS) -O1 $< -o $@ $(LIBS)

# Its own calls of stdio fail here, so it includes the library.
$(B)/test_faults_stdio: tests/test_faults.c $(MODELS_IN_MEMORY) tests/inside.c tests/inside.h harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) $(TEST_FLAGS) $(LDFLAGS) -O1 -DHARP_NO_SIMD -DHARP_NO_MMAP $< -o $@ $(LIBS)

# These look into the converter, of which they get all but the program itself.
PARTS_OF_CONVERTER = calibrate chat gguf quality

$(B)/test_chat: tests/chat_file.h
$(B)/test_calibrate $(B)/test_chat: tests/harp_file.h $(B)/harp_impl.o

$(PARTS_OF_CONVERTER:%=$(B)/test_%) $(B)/variants $(B)/as_gguf: $(B)/%: tests/%.c $(PARTS)
	$(LINK) -Itools/convert $< $(filter %.o,$^) -o $@ $(LIBS)

# These use the library as a stranger would.
USERS = library inputs models files conformance convert tokenizer decoders eval slices together threads conversation

$(B)/test_conversation: tests/chat_file.h tests/harp_file.h

$(B)/test_eval: $(EVAL) examples/eval/eval.h $(GROUND)

$(B)/test_inputs $(B)/test_library $(B)/test_models: tests/harp_file.h

$(B)/test_conformance $(B)/test_together: tests/golden.h

$(USERS:%=$(B)/test_%): $(B)/test_%: tests/test_%.c harp.h $(B)/harp_impl.o
	$(CC) $(TEST_FLAGS) $(LDFLAGS) $(CFLAGS) $< $(filter %.o,$^) -o $@ $(LIBS)

$(B)/machine: tests/machine.c tests/seats.h tests/random_model.h tests/harp_file.h harp.h $(B)/harp_impl.o
	$(LINK) tests/machine.c $(B)/harp_impl.o -o $@ $(LIBS)

$(B)/planted: tests/planted.c tests/random_model.h tests/harp_file.h
	@mkdir -p $(B)
	$(LINK) tests/planted.c -o $@

$(B)/test_form: tests/test_form.c tests/form_cases.h $(FORM) $(B)/harp_impl.o
	$(LINK) tests/test_form.c $(B)/harp_impl.o -o $@ $(LIBS)

EDITOR_OF_CHAT = examples/harp/edit.c examples/harp/width.c
$(B)/test_edit: tests/test_edit.c $(EDITOR_OF_CHAT) examples/harp/edit.h
	@mkdir -p $(B)
	$(LINK) tests/test_edit.c $(EDITOR_OF_CHAT) -o $@ $(LIBS)

# The converter with every call of memory and files led through the test, which makes them fail.
FAULTY = -std=c99 -D_DEFAULT_SOURCE -Wall -Wextra -O1 -include tests/faults.h
$(B)/test_convert_faults: tests/test_convert_faults.c tests/faults.h $(CONVERT) $(CONVERT_HEADERS) $(B)/harp_impl.o
	@rm -rf $(B)/faulty && mkdir -p $(B)/faulty
	for c in $(CONVERT); do $(CC) $(FAULTY) -Dmain=convert_main -c $$c -o $(B)/faulty/$$(basename $$c .c).o || exit 1; done
	$(CC) $(TEST_FLAGS) $(LDFLAGS) $(CFLAGS) tests/test_convert_faults.c $(B)/faulty/*.o $(B)/harp_impl.o -o $@ $(LIBS)

# Both ways of vendoring: the implementation inside one of the user's files, and beside a C++ program.
$(B)/test_vendoring_c: tests/test_vendoring.c harp.h harp_impl.c
	@mkdir -p $(B)
	$(LINK) -DHARP_IMPLEMENTATION tests/test_vendoring.c -o $@ $(LIBS)

$(B)/test_vendoring_cpp: tests/test_vendoring.c $(B)/harp_impl.o
	$(CXX) -x c++ -std=c++98 -pedantic -Wall -Wextra $(WERROR) $(CFLAGS) -c tests/test_vendoring.c -o $(B)/vendoring_cpp.o
	$(CXX) $(CFLAGS) $(LDFLAGS) $(B)/vendoring_cpp.o $(B)/harp_impl.o -o $@ $(LIBS)

run: $(B)/harp$(E)
	$(B)/harp$(E) run -m examples/demo/demo.harp -p "One day, Anna" -n 200 --seed 1 --stats

# The library under AddressSanitizer and UBSan, for all that "make test-all" runs with it: it takes a minute to compile,
# so it is inside test_numbers, which includes it, and whose main is called test_numbers. Where gcc cannot, there is none, and those tests are skipped. -g1: lines are enough in a report, and what gcc knows of
# variables would take it minutes to write down.
SANITIZED = gcc -std=c99 -g1 -O1 -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
$(B)/sanitized.o: tests/test_numbers.c tests/harp_file.h tests/test.h harp.h harp_impl.c
	@mkdir -p $(B)
	-$(SANITIZED) -Dmain=test_numbers -c tests/test_numbers.c -o $@

# What "make test" runs is built first, side by side.
tests: programs $(TESTS:%=$(B)/%)

test:
	@$(MAKE) --no-print-directory $(JOBS) tests
	@CC="$(CC)" GROUP="$(GROUP)" ONE="$(ONE)" sh tests/run.sh $(B)

test-all:
	@$(MAKE) --no-print-directory $(JOBS) WERROR=-Werror tests $(B)/sanitized.o
	@CC="$(CC)" GROUP="$(GROUP)" ONE="$(ONE)" sh tests/run.sh $(B) all

# What the tests reach in harp_impl.c, chapter by chapter; minutes.
coverage: all
	sh tests/coverage.sh $(B)

# Fuzzing with clang's libFuzzer, or with AFL++: make fuzz MINUTES=n for each target; TARGETS="json chat" for some.
MINUTES = 1
fuzz:
	VECTORS=1 TARGETS="$(TARGETS)" sh tests/fuzz/run.sh $(B) build asan
	sh tests/fuzz/run.sh $(B) run $$(($(MINUTES) * 60)) $(TARGETS)

fuzz-afl:
	TARGETS="$(TARGETS)" sh tests/fuzz/run.sh $(B) build afl
	sh tests/fuzz/run.sh $(B) afl $$(($(MINUTES) * 60)) $(TARGETS)

# The converter's program on bent files, holes, pipes, many parts, under limits; 32 bits, too.
fuzz-programs:
	sh tests/fuzz/run.sh $(B) programs $$(($(MINUTES) * 60))

# The web page: a folder for any plain file server. Needs clang, lld and wasi-libc.
WASM = clang --target=wasm32-wasi -std=c99 -O3 -Wall -Wextra -Werror -DHARP_NO_STDIO -DHARP_NO_MMAP -nostartfiles \
    -Wl,--no-entry -Wl,--strip-all -Wl,--stack-first
PAGE = examples/web/index.html examples/web/style.css examples/web/app.js examples/web/worker.js examples/demo/demo.harp

web: examples/web/glue.c harp.h harp_impl.c $(PAGE)
	@mkdir -p $(B)/web
	$(WASM) examples/web/glue.c harp_impl.c -o $(B)/web/harp.wasm -lm
	$(WASM) -msimd128 examples/web/glue.c harp_impl.c -o $(B)/web/harp-simd.wasm -lm
	cp $(PAGE) $(B)/web
	@echo "python3 -m http.server -d $(B)/web"

# The portability matrix alone; its table goes into tests/README.md.
matrix:
	@mkdir -p $(B)
	sh tests/matrix.sh $(B) readme

# The programs on other systems: all of them built, those for Windows run under wine.
desks: all
	sh tests/desks.sh $(B)

# The state machine of "make test" in builds that see more: sanitizers, 32 bits, valgrind; minutes.
machines: $(B)/machine
	sh tests/machine.sh $(B)

# The library alone under every compiler that is here; many minutes.
compilers:
	sh tests/test_compilers.sh $(B)

clean:
	rm -rf $(B)

help:
	@sed -n '3,/^$$/s/^#//p' Makefile

.PHONY: all programs strict run tests test test-all web matrix desks machines compilers clean help
.PHONY: fuzz fuzz-afl fuzz-programs coverage
