# harp-convert: the files that people have, and those that somebody damaged.

converter_under_sanitizers() {
    has_sanitized || return 0
    $sanitized tools/convert/*.c tools/convert/*/*.c $B/sanitized.o -o $W/harp-convert -lm -pthread || return 1
    mkdir -p $W/files
    $B/test_convert $W/harp-convert $W/files
}
gguf_under_sanitizers() {
    has_sanitized || return 0
    $sanitized -Itools/convert tests/test_gguf.c tools/convert/containers/*.c tools/convert/ground/*.c tools/convert/file/nibbles.c \
        -o $W/gguf -lm -pthread && $W/gguf $F/gguf/blocks.bin $W/x.gguf
}

bounds_in_32_bits() { # some x86-64 kernels are built without the 32-bit system calls
    narrow="i686-linux-gnu-gcc -std=c99 -O1 -msse2 -mfpmath=sse -static"
    can $narrow && "$W/empty" || { echo "skipped: 32-bit programs do not run here"; return 0; }
    $narrow -DHARP_NO_SIMD tools/convert/*.c tools/convert/*/*.c harp_impl.c -o $W/harp-convert -lm -pthread || return 1
    sh tests/test_bounds.sh $B $W/harp-convert
}

# same_bytes MODEL [FORM]: what the converter makes of its folder (BF16, or four shards; the fixture was made from F32,
# in one file), or of the same weights in other tensors or files
same_bytes() {
    folder=$F/source/$1
    if [ -n "$2" ]; then
        mkdir -p $W/$2/$1
        $B/variants $2 $folder $W/$2/$1 || return 1
        folder=$W/$2/$1
    fi
    $B/harp-convert $folder $W/model.harp --quiet && cmp $W/model.harp $F/$1/model.harp && echo $one
}

if [ "$all" = all ]; then
    run "converter under ASan and UBSan" converter_under_sanitizers
    run "GGUF files under ASan and UBSan" gguf_under_sanitizers
    run "converter, bounds, 32 bits" bounds_in_32_bits
fi
run "converter" $B/test_convert $B/harp-convert $W
run "converter, bounds" sh tests/test_bounds.sh $B
run "converter, failures" $B/test_convert_faults $W $F/source/llama_gqa tests/fuzz/seeds/gguf/q8_0.gguf
run "calibration of a mixture" $B/test_calibrate $B/harp-convert $W
run "outliers" $B/test_quality
run "GGUF files" $B/test_gguf $F/gguf/blocks.bin $W/x.gguf
run "chat templates" $B/test_chat
run "converter: llama_gqa, the same bytes" same_bytes llama_gqa
run "converter: mistral_v3, the same bytes" same_bytes mistral_v3
run "converter: llama_gqa fused, the same bytes" same_bytes llama_gqa fused
run "converter: llama_gqa shards, the same bytes" same_bytes llama_gqa shards
