# Fuzzing: seeds and old findings first, then a few seconds of each target (FUZZ_SECONDS).

# The state machine runs in "make test", in builds that see more in groups/library.sh.
TARGETS="harp tokenizer session json safetensors tokenizer_file roundtrip chat llama2c huggingface gguf"

fuzz() {
    can clang -fsanitize=fuzzer-no-link,address || return 0
    TARGETS=$TARGETS sh tests/fuzz/run.sh $B build asan || return 1
    sh tests/fuzz/run.sh $B run ${FUZZ_SECONDS:-3} $TARGETS
    status=$?
    sed 's/^/note /' $B/fuzz/said
    return $status
}

if [ "$all" = all ]; then
    run "fuzz targets" fuzz
    run "harp-convert on bent files, 64 and 32 bits" sh tests/fuzz/run.sh $B programs 20
fi
