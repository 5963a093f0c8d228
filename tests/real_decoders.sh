#!/bin/sh
# Decoders on models that are not in the repository: sh tests/real_decoders.sh BUILD_FOLDER [all]
# They lie in ../shared; where that is absent, as in a stranger's clone, everything here is skipped.
B=$1
all=$2
S=../shared
passed=0
failed=0
W=$B/real_decoders
rm -rf $W
mkdir -p $W

add() { # add NAME OUTPUT: adds the numbers of the last line
    p=$(printf '%s\n' "$2" | tail -1 | sed -n 's/^\([0-9]*\) passed.*/\1/p')
    f=$(printf '%s\n' "$2" | tail -1 | sed -n 's/.* \([0-9]*\) failed.*/\1/p')
    passed=$((passed + ${p:-0}))
    failed=$((failed + ${f:-1}))
    [ "${f:-1}" = 0 ] || printf 'FAILED  %s\n%s\n' "$1" "$2"
    printf '%s\n' "$2" | grep '^note' | sed "s/^note/note   $1:/"
}

if [ -d $S/conformance ]; then
    for d in $S/conformance/*/; do
        m=$(basename $d)
        if $B/harp-convert $d $W/$m.harp --quiet > $W/said 2>&1; then
            add "beam search, $m" "$($B/test_decoders beam $W/$m.harp $d/golden 2>&1)"
        else
            echo "skipped: beam search, $m: $(tail -1 $W/said)"
        fi
    done
    M=$S/data/models
    n=20
    [ "$all" != all ] || n=200
    $B/harp-convert $M/stories260K.bin $W/stories260K.harp --tokenizer $M/tok512.bin --quiet
    add "stories260K" "$($B/test_decoders greedy $W/stories260K.harp $W/stories260K.harp $n 2>&1)"
    add "demo" "$($B/test_decoders greedy examples/demo/demo.harp examples/demo/demo.harp $n 2>&1)"
    if [ "$all" = all ]; then
        $B/harp-convert $M/stories3M-q80.bin $W/stories3M.harp --tokenizer $M/tok4096.bin --quiet
        add "stories3M" "$($B/test_decoders greedy $W/stories3M.harp $W/stories3M.harp $n 2>&1)"
    fi
else
    echo "skipped: decoders on real models, $S is not here"
fi
printf '%d passed, %d failed\n' $passed $failed
exit $failed
