#!/bin/sh
# The microcontroller image, run in qemu: its text must be the desk's, its size within the budget.
#     sh tests/test_mcu.sh BUILD_FOLDER
B=$1
passed=0
failed=0
check() { # check NAME CONDITION...
    name=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED $name"; fi
}
for tool in arm-none-eabi-gcc qemu-system-arm; do
    command -v $tool > /dev/null || { echo "skipped: microcontroller: no $tool"; echo "0 passed, 0 failed"; exit 0; }
done

# image MODEL CONTEXT SESSION_BYTES PROMPT MODEL_HERE: builds and runs; $out has the budget and the text. four=1: the
# image reads models with weights of four bits.
four= budget=65536
image() {
    out=$(make --no-print-directory -s -C examples/mcu run MODEL="$1" CONTEXT=$2 SESSION_BYTES=$3 PROMPT="$4" \
        FOUR_BITS=$four 2>&1 | tr -d '\r')
    code=$(printf '%s\n' "$out" | sed -n 's/^flash: code and constants \([0-9]*\).*/\1/p')
    ram=$(printf '%s\n' "$out" | sed -n 's/^RAM: *\([0-9]*\).*/\1/p')
    check "code of ${code:-?} bytes, below $budget" [ "${code:-99999}" -lt $budget ]
    check "RAM of ${ram:-?} bytes, at most 262144" [ "${ram:-999999}" -le 262144 ]
    stack=$(printf '%s\n' "$out" | sed -n 's/^deepest stack: \([0-9]*\) bytes/\1/p')
    check "stack of ${stack:-?} bytes, below 8192" [ "${stack:-9999}" -lt 8192 ]
    for frame in last stream; do
        there=$(printf '%s\n' "$out" | sed -n "/^--- frame $frame/,/tokens, .*hesitations/p" | sed '1d;$d' | tr -d '~')
        here=$($B/harp run --paper -m "$5" -p "$4" -n 80 -c $2 --cache int8 --frame $frame --color never)
        check "frame $frame tells the same on the desk" [ -n "$there" -a "$there" = "$here" ]
    done
    printf '%s\n' "$out" | grep -v '^make'
}
image ../demo/demo.harp 64 '230*1024' "One day, Anna" examples/demo/demo.harp
models=../shared/data/models
if [ -e $models/stories260K.bin ]; then
    $B/harp-convert $models/stories260K.bin $B/stories260K.harp --tokenizer $models/tok512.bin --quiet
    image $PWD/$B/stories260K.harp 256 '236*1024' "Once upon a time" $B/stories260K.harp
else
    echo "skipped: microcontroller, 260K parameters at 256 positions: no $models/stories260K.bin"
fi
mkdir -p $B/mcu-4
four=1 budget=67584
${CC:-cc} -std=c99 tests/four_bits.c -o $B/mcu-4/four_bits \
    && $B/mcu-4/four_bits examples/demo/demo.harp $B/mcu-4/demo4.harp
image $PWD/$B/mcu-4/demo4.harp 64 '230*1024' "One day, Anna" $B/mcu-4/demo4.harp
echo "$passed passed, $failed failed"
[ $failed = 0 ]
