#!/bin/sh
# What the compiled library is like: sh tests/test_object.sh BUILD_FOLDER [readme]
# No writable globals, no library calls but those that the preface of harp_impl.c lists, no recursion; the stack of
# every public call; sizes by configuration, which "readme" writes into tests/README.md.
B=$1
W=$B/object
CC=${CC:-gcc}
passed=0
failed=0
mkdir -p $W
rm -f $W/table
for tool in size nm tsort; do
    command -v $tool > /dev/null || { echo "skipped: the object: no $tool"; echo "0 passed, 0 failed"; exit 0; }
done

good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAILED $*"
}

# The calls that the preface lists, one a line; it names POSIX threads by what they are.
calls=$(sed -n '/^ \* LIBRARY CALLS/,/^ \*\//p' harp_impl.c | tr -c 'A-Za-z0-9_\n' ' ' | tr -s ' ' '\n' \
    | grep -E '^[a-zA-Z_][A-Za-z0-9_]+$')

all="-DHARP_NO_THREADS -DHARP_NO_CLOCK -DHARP_NO_MMAP -DHARP_NO_STDIO -DHARP_NO_MALLOC"
for switches in "-O2" "-Os" "-O2 -DHARP_NO_SIMD" "-Os -DHARP_NO_SIMD $all"; do
    $CC -std=c99 $switches -c harp_impl.c -o $W/x.o || { bad "does not compile with $switches"; continue; }
    size -A $W/x.o | awk '$1 == ".text" { code = 1 }
        ($1 ~ /^\.(data|bss|tdata|tbss)$/) && $2 > 0 { data = 1 }
        END { exit data || !code }' && good || bad "writable data with $switches, or size -A lists no sections"
    nm $W/x.o | grep -q ' T harp_open$' && good || bad "nm does not list harp_open"
    unlisted=$(nm -u $W/x.o | awk '{ print $2 }' | grep -v '^pthread_' | grep -vxF "$calls" \
        | grep -vxE '_GLOBAL_OFFSET_TABLE_|__stack_chk_fail')
    [ -z "$unlisted" ] && good || bad "not listed in the preface:" $unlisted
    printf '| x86-64 | `%s` | %s |\n' "$switches" "$(size $W/x.o | awk 'NR == 2 { print $1 + $2 }')" >> $W/table
done
missing=$(nm -u $W/x.o | awk '{ print $2 }' | grep -vxE '(mem|str)[a-z]+|sqrtf|_GLOBAL_OFFSET_TABLE_')
[ -z "$missing" ] && good || bad "with everything left out it still calls $missing"

# Recursion: a loop in the graph of calls. Calls through pointers go down the chapters: stages, parts, kernels. One call
# goes to another session, one level deep: that of a draft model, which has none of its own (hp_check_draft sees to it).
if $CC -std=c99 -O0 -fno-inline -fcallgraph-info -c harp_impl.c -o $W/graph.o 2> /dev/null; then
    sed -n 's/^edge: { sourcename: "\([^"]*\)" targetname: "\([^"]*\)".*/\1 \2/p' $W/graph.ci \
        | grep -v __indirect_call | grep -v 'hp_ask_draft .*hp_make_step' > $W/calls
    loops=$(tsort $W/calls 2>&1 > /dev/null | grep -v 'contains a loop' | sed 's/.*://' | tr -d '\n')
    [ -s $W/calls ] && [ -z "$loops" ] && good || bad "recursion:$loops"
else
    echo "skipped: recursion: this compiler draws no graph of calls"
fi

if $CC -std=c99 -O1 tests/test_stack.c harp_impl.c -o $W/test_stack -lm -pthread; then
    stack=$($W/test_stack examples/demo/demo.harp)
    printf '%s\n' "$stack" | grep -E '^(note|FAILED)'
    p=$(printf '%s' "$stack" | sed -n 's/^\([0-9]*\) passed, 0 failed$/\1/p')
    [ -n "$p" ] && passed=$((passed + p)) || bad "the stack"
else
    bad "tests/test_stack.c does not compile"
fi

arm="-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16"
if command -v arm-none-eabi-gcc > /dev/null; then
    for optimum in -O2 -Os; do
        arm-none-eabi-gcc -std=c99 $arm $optimum $all -c harp_impl.c -o $W/arm.o && good \
            || bad "does not compile for Cortex-M4"
        arm-none-eabi-nm -u $W/arm.o | grep -q 'ldivmod' && bad "64-bit division on Cortex-M4" || good
        bytes=$(arm-none-eabi-size $W/arm.o | awk 'NR == 2 { print $1 + $2 }')
        printf '| Cortex-M4F | `%s %s` | %s |\n' $optimum "$all" $bytes >> $W/table
    done
else
    echo "skipped: sizes on Cortex-M4: no arm-none-eabi-gcc"
fi

if [ "$2" = readme ]; then
    { printf '| machine | built with | bytes of code and constants |\n|---|---|---|\n'; cat $W/table; } > $W/table.md
    awk -v table=$W/table.md '
        /<!-- sizes end -->/ { inside = 0 }
        !inside { print }
        /<!-- sizes begin -->/ { inside = 1; while ((getline line < table) > 0) print line }
        ' tests/README.md > $W/README.md
    cp $W/README.md tests/README.md
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
