# Fuzzing: seeds and old findings first, then a few seconds of each target (FUZZ_SECONDS).

fuzz() {
    can clang -fsanitize=fuzzer-no-link,address || return 0
    sh tests/fuzz/run.sh $B build asan || return 1
    sh tests/fuzz/run.sh $B run ${FUZZ_SECONDS:-5}
    status=$?
    sed 's/^/note /' $B/fuzz/said
    return $status
}

if [ "$all" = all ]; then
    run "fuzz targets" fuzz
    run "harp-convert on bent files, 64 and 32 bits" sh tests/fuzz/run.sh $B programs 20
fi
