# harp needs no build: vendor harp.h and harp_impl.c. This file builds the examples, the converter and the tests.
#
#   make            the library's object and the programs, into build/
#   make run        tells a story with the bundled model, HARP on
#   make test       the fast tests
#   make test-all   those, and the matrix of compilers, machines and sanitizers (needs clang, cross compilers, qemu)

CC = gcc
CFLAGS = -O2
STRICT = -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror
B = build

# Programs are compiled side by side, as many as there are processors.
MAKEFLAGS += -j$(shell getconf _NPROCESSORS_ONLN 2> /dev/null || echo 1)

# A name a line.
PROGRAMS = \
	harp \
	harp-convert \
	harp-bench \
	harp-eval \
	hello \
	own_measure \
	no_malloc

TESTS = \
	test_library \
	test_format \
	test_conformance \
	test_models \
	test_slices \
	variants \
	test_threads \
	test_decoders \
	test_eval \
	test_chat \
	test_convert \
	test_gguf \
	test_words \
	test_quality \
	test_tokenizer \
	test_faults \
	test_faults_stdio \
	test_numbers \
	test_convert_faults \
	test_vendoring_c \
	test_vendoring_cpp

all: $(B)/harp_impl.o $(PROGRAMS:%=$(B)/%)

$(B)/harp_impl.o: harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) $(STRICT) $(CFLAGS) -c harp_impl.c -o $@

# The command line and the small examples.
COMMAND = $(wildcard examples/harp/*.c)

$(B)/harp: $(COMMAND) examples/harp/cli.h $(B)/harp_impl.o
	$(CC) $(STRICT) $(CFLAGS) $(COMMAND) $(B)/harp_impl.o -o $@ -lm

# The paper's table.
EVAL = $(wildcard examples/eval/*.c)

$(B)/harp-eval: $(EVAL) examples/eval/eval.h $(B)/harp_impl.o
	$(CC) $(STRICT) $(CFLAGS) $(EVAL) $(B)/harp_impl.o -o $@ -lm -pthread

# The converter, which leans on the library for --check alone.
CONVERT = $(wildcard tools/convert/*.c)
CONVERT_OBJECTS = $(CONVERT:tools/convert/%.c=$(B)/tools/%.o)

$(B)/tools/%.o: tools/convert/%.c $(wildcard tools/convert/*.h)
	@mkdir -p $(B)/tools
	$(CC) $(STRICT) $(CFLAGS) -c $< -o $@

$(B)/harp-convert: $(CONVERT_OBJECTS) $(B)/harp_impl.o
	$(CC) $(CONVERT_OBJECTS) $(B)/harp_impl.o -o $@ -lm -pthread

# The benchmark makes its random models with the converter's plan and writer.
BENCH = $(wildcard examples/bench/*.c)
POUR = $(filter-out $(B)/tools/convert.o $(B)/tools/check.o,$(CONVERT_OBJECTS))

$(B)/harp-bench: $(BENCH) examples/bench/bench.h $(POUR) $(B)/harp_impl.o
	$(CC) $(STRICT) $(CFLAGS) $(BENCH) $(POUR) $(B)/harp_impl.o -o $@ -lm -pthread

$(B)/hello: examples/hello.c $(B)/harp_impl.o
	$(CC) $(STRICT) $(CFLAGS) examples/hello.c $(B)/harp_impl.o -o $@ -lm

$(B)/own_measure: examples/own_measure.c $(B)/harp_impl.o
	$(CC) $(STRICT) $(CFLAGS) examples/own_measure.c $(B)/harp_impl.o -o $@ -lm

$(B)/no_malloc: examples/no_malloc.c harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) $(STRICT) -O1 -DHARP_NO_MALLOC -DHARP_NO_STDIO -DHARP_NO_MMAP -DHARP_NO_SIMD examples/no_malloc.c harp_impl.c -o $@ -lm

# These include the implementation, to see what is private.
INSIDERS = library models

$(INSIDERS:%=$(B)/test_%): $(B)/test_%: tests/test_%.c harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) -std=c99 -Wall -Wextra -Werror -O1 $< -o $@ -lm

$(B)/test_words: tests/test_words.c harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) -std=c99 -Wall -Wextra -Werror -O1 -DHARP_NO_SIMD tests/test_words.c -o $@ -lm

$(B)/test_eval: $(EVAL) examples/eval/eval.h

# Parts of the converter: JSON.
$(B)/variants: tests/variants.c tools/convert/json.c tools/convert/util.c tools/convert/json.h
	@mkdir -p $(B)
	$(CC) $(STRICT) $(CFLAGS) -Itools/convert tests/variants.c tools/convert/json.c tools/convert/util.c -o $@ -lm

# Parts of the converter: chat templates.
CHAT = tools/convert/chat.c tools/convert/jinja.c tools/convert/meta.c tools/convert/util.c

$(B)/test_chat: tests/test_chat.c $(CHAT) tools/convert/convert.h tools/convert/jinja.h
	@mkdir -p $(B)
	$(CC) $(STRICT) $(CFLAGS) -Itools/convert tests/test_chat.c $(CHAT) -o $@

# Parts of the converter: GGUF files.
GGUF = tools/convert/gguf.c tools/convert/dequantize.c tools/convert/quantize.c tools/convert/files.c tools/convert/util.c

$(B)/test_gguf: tests/test_gguf.c $(GGUF) tools/convert/gguf.h tools/convert/dequantize.h
	@mkdir -p $(B)
	$(CC) $(STRICT) $(CFLAGS) -Itools/convert tests/test_gguf.c $(GGUF) -o $@ -lm

$(B)/test_quality: tests/test_quality.c tools/convert/quantize.c tools/convert/quantize.h
	@mkdir -p $(B)
	$(CC) $(STRICT) $(CFLAGS) -Itools/convert tests/test_quality.c tools/convert/quantize.c -o $@ -lm

# These use the library as a stranger would.
USERS = conformance convert tokenizer decoders eval slices threads

$(B)/test_eval: $(EVAL) examples/eval/eval.h

$(USERS:%=$(B)/test_%): $(B)/test_%: tests/test_%.c $(B)/harp_impl.o
	$(CC) -std=c99 -Wall -Wextra -Werror $(CFLAGS) $< $(B)/harp_impl.o -o $@ -lm -pthread

# These include the implementation; without vector instructions where they do not matter, which compiles in seconds.
$(B)/test_faults: tests/test_faults.c tests/fuzz/make_harp.h tests/fuzz/fuzz.h harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) -std=c99 -Wall -Wextra -Werror $(CFLAGS) -DHARP_NO_SIMD tests/test_faults.c -o $@ -lm -pthread

$(B)/test_format: tests/test_format.c tests/fuzz/make_harp.h tests/fuzz/fuzz.h harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) -std=c99 -Wall -Wextra -Werror -O1 -DHARP_NO_SIMD tests/test_format.c -o $@ -lm -pthread

$(B)/test_faults_stdio: tests/test_faults.c tests/fuzz/make_harp.h tests/fuzz/fuzz.h harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) -std=c99 -Wall -Wextra -Werror -O1 -DHARP_NO_SIMD -DHARP_NO_MMAP tests/test_faults.c -o $@ -lm -pthread

$(B)/test_numbers: tests/test_numbers.c harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) -std=c99 -Wall -Wextra -Werror -O1 tests/test_numbers.c -o $@ -lm -pthread

# The converter with every call of memory and files led through the test, which makes them fail.
FAULTY = -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -O1 -include tests/faults.h
$(B)/test_convert_faults: tests/test_convert_faults.c tests/faults.h $(CONVERT) $(wildcard tools/convert/*.h) $(B)/harp_impl.o
	@mkdir -p $(B)/faulty
	for c in $(CONVERT); do $(CC) $(FAULTY) -Dmain=convert_main -c $$c -o $(B)/faulty/$$(basename $$c .c).o || exit 1; done
	$(CC) -std=c99 -Wall -Wextra -Werror $(CFLAGS) tests/test_convert_faults.c $(B)/faulty/*.o $(B)/harp_impl.o -o $@ -lm -pthread

# Both ways of vendoring: the implementation inside one of the user's files, and beside a C++ program.
$(B)/test_vendoring_c: tests/test_vendoring.c harp.h harp_impl.c
	@mkdir -p $(B)
	$(CC) $(STRICT) $(CFLAGS) -DHARP_IMPLEMENTATION tests/test_vendoring.c -o $@ -lm

$(B)/test_vendoring_cpp: tests/test_vendoring.c $(B)/harp_impl.o
	$(CXX) -x c++ -std=c++98 -pedantic -Wall -Wextra -Werror $(CFLAGS) -c tests/test_vendoring.c -o $(B)/vendoring_cpp.o
	$(CXX) $(B)/vendoring_cpp.o $(B)/harp_impl.o -o $@ -lm

run: $(B)/harp
	$(B)/harp run -m examples/demo/demo.harp -p "One day, Anna" -n 200 --seed 2 --stats

test: all $(TESTS:%=$(B)/%)
	sh tests/run.sh $(B)

test-all: all $(TESTS:%=$(B)/%)
	sh tests/run.sh $(B) all

# What the tests reach in harp_impl.c, chapter by chapter; minutes.
coverage: all
	sh tests/coverage.sh $(B)

# Fuzzing with clang's libFuzzer, or with AFL++: make fuzz MINUTES=n for each target; TARGETS="json chat" for some.
MINUTES = 1
fuzz:
	sh tests/fuzz/run.sh $(B) build asan
	sh tests/fuzz/run.sh $(B) run $$(($(MINUTES) * 60)) $(TARGETS)

fuzz-afl:
	sh tests/fuzz/run.sh $(B) build afl
	sh tests/fuzz/run.sh $(B) afl $$(($(MINUTES) * 60)) $(TARGETS)

# The web page: a folder for any plain file server. Needs clang, lld and wasi-libc.
WASM = clang --target=wasm32-wasi -std=c99 -O3 -Wall -Wextra -Werror -DHARP_NO_STDIO -DHARP_NO_MMAP -nostartfiles -Wl,--no-entry \
    -Wl,--strip-all -Wl,--stack-first
PAGE = examples/web/index.html examples/web/style.css examples/web/app.js examples/web/worker.js examples/demo/demo.harp

web: examples/web/glue.c harp.h harp_impl.c $(PAGE)
	@mkdir -p $(B)/web
	$(WASM) examples/web/glue.c harp_impl.c -o $(B)/web/harp.wasm -lm
	$(WASM) -msimd128 examples/web/glue.c harp_impl.c -o $(B)/web/harp-simd.wasm -lm
	cp $(PAGE) $(B)/web
	@echo "python3 -m http.server -d $(B)/web"

# The portability matrix alone; its table goes into README.md.
matrix:
	@mkdir -p $(B)
	sh tests/matrix.sh $(B) readme

clean:
	rm -rf $(B)

.PHONY: all run test test-all web matrix clean
.PHONY: fuzz fuzz-afl coverage
