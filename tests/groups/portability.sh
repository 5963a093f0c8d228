# The same bits, whatever the compiler, the machine and its system; what the compiled library is like; vendoring.

sapphire_rapids() { # 16-bit floats change FLT_EVAL_METHOD
    can gcc -march=sapphirerapids || return 0
    gcc -march=sapphirerapids -O1 -Wall -Wextra -Werror -c harp_impl.c -o $W/strict.o && echo $one
}
files() { # files SWITCHES...: opening by each way there is in a library that lacks the others
    $CC -std=c99 -Wall -Wextra -Werror -DHARP_NO_SIMD "$@" tests/test_files.c harp_impl.c -o $W/test_files -lm -pthread \
        && $W/test_files examples/demo/demo.harp $W
}
# What the object holds, by tools that are not everywhere and know not every format: a list without the text section, or
# without harp_open, says nothing about the rest.
no_writable_globals() {
    size -A $B/harp_impl.o > $W/sections 2> /dev/null && grep -q '^\.text' $W/sections \
        || { echo "skipped: no size -A for this object"; return 0; }
    awk '($1 == ".data" || $1 == ".bss") && $2 > 0 { print; exit 1 }' $W/sections && echo $one
}
no_exit() {
    nm $B/harp_impl.o > $W/symbols 2> /dev/null && grep -q -E ' T _?harp_open$' $W/symbols \
        || { echo "skipped: no nm for this object"; return 0; }
    ! grep -E ' U _?(abort|exit|_exit|printf|fprintf|puts|perror|__assert_fail|__assert_rtn)$' $W/symbols \
        && echo $one
}
desks() {
    sh tests/desks.sh $B
    status=$?
    sed 's/^/note /' $B/desks/table
    return $status
}
matrix() { # matrix PART
    sh tests/matrix.sh $B $1 > $W/said 2>&1
    status=$?
    sed 's/^ok /note /' $W/said
    return $status
}

if [ "$all" = all ]; then
    run "programs on every desk" desks
    for part in machines gcc clang windows wasm bare; do run "the same bits, $part" matrix $part; done
    run "the library under every compiler" sh tests/test_compilers.sh $B
    run "clang -ffp-contract=fast, a set that fuses" sh tests/fused_sets.sh $B $F/llama_gqa/model.harp
    run "gcc -march=sapphirerapids" sapphire_rapids
    run "vendoring, whole projects" sh tests/test_vendoring.sh $B
    run "the object: symbols, recursion, stack" sh tests/test_object.sh $B
    run "microcontroller, qemu" sh tests/test_mcu.sh $B
fi
run "the same bits" matrix built
run "vendoring, C, one file" $B/test_vendoring_c $F/llama_gqa/model.harp
run "vendoring, C++98 header" $B/test_vendoring_cpp $F/llama_gqa/model.harp
run "files" $B/test_files examples/demo/demo.harp $W
run "files -DHARP_NO_MMAP" files -DHARP_NO_MMAP
run "files -DHARP_NO_STDIO" files -DHARP_NO_STDIO
run "files -DHARP_NO_MALLOC" files -DHARP_NO_MALLOC
run "files, none of these" files -DHARP_NO_MMAP -DHARP_NO_STDIO -DHARP_NO_MALLOC
run "no writable globals" no_writable_globals
run "no exit, abort or print" no_exit
