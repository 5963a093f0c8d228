# The same bits, whatever the compiler, the machine and its system; what the compiled library is like; vendoring.

bits=$F/bits # of 64 steps' logits, of a model for each kernel: these stay as they are, here and everywhere

of_bits="llama_gqa gemma2 gemma3_text gpt_neox gpt2 olmo2 phi3_longrope"

# compare_bits RUNNER PROGRAM MODEL...: each model's hash must be the one that is written down
compare_bits() {
    runner=$1 program=$2
    shift 2
    for m in "$@"; do echo $m $($runner $program $F/$m/model.harp hash); done > $W/hashes
    [ -s $bits ] && [ -s $W/hashes ] && ! grep -v -x -F -f $bits $W/hashes && echo $one
}
same_bits() { # same_bits RUNNER COMPILER...; RUNNER is "" for this machine
    runner=$1
    shift
    has $1 $runner || return 0
    "$@" tests/test_library.c harp_impl.c -o $W/program -lm -pthread && compare_bits "$runner" $W/program $of_bits
}
same_bits_of_two() { # an emulator takes its time
    of_bits="llama_gqa gpt2"
    same_bits "$@"
}
kernels_on_s390x() { # floats are evaluated in double there: R4 where sizes are odd
    has s390x-linux-gnu-gcc qemu-s390x || return 0
    s390x-linux-gnu-gcc -std=c99 -static -O2 tests/test_numbers.c -o $W/numbers -lm && qemu-s390x $W/numbers kernels
}
sapphire_rapids() { # 16-bit floats change FLT_EVAL_METHOD
    can gcc -march=sapphirerapids || return 0
    gcc -march=sapphirerapids -O1 -Wall -Wextra -Werror -c harp_impl.c -o $W/strict.o && echo $one
}
files() { # files SWITCHES...: opening by each way there is in a library that lacks the others
    $CC -std=c99 -Wall -Wextra -Werror "$@" tests/test_files.c harp_impl.c -o $W/test_files -lm -pthread \
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
matrix() {
    sh tests/matrix.sh $B > $W/said 2>&1
    status=$?
    sed 's/^ok /note /' $W/said
    return $status
}

if [ "$all" = all ]; then
    run "programs on every desk" desks
    run "portability matrix" matrix
    run "the library under every compiler" sh tests/test_compilers.sh $B
    for o in "-std=c99 -O0" -O2 -O3 "-O3 -march=native"; do
        for cc in gcc clang; do run "bits $cc $o" same_bits "" $cc $o; done
    done
    run "bits gcc -ffp-contract=fast" same_bits "" gcc -O3 -march=native -ffp-contract=fast
    run "bits aarch64, qemu" same_bits qemu-aarch64 aarch64-linux-gnu-gcc -static -O2
    run "bits s390x big-endian, qemu" same_bits qemu-s390x s390x-linux-gnu-gcc -static -O2
    run "bits s390x -std=c99, qemu" same_bits_of_two qemu-s390x s390x-linux-gnu-gcc -std=c99 -static -O2
    run "kernels, s390x -std=c99, qemu" kernels_on_s390x
    run "clang -ffp-contract=fast, a set that fuses" sh tests/fused_sets.sh $B $F/llama_gqa/model.harp
    run "gcc -march=sapphirerapids" sapphire_rapids
    run "vendoring, whole projects" sh tests/test_vendoring.sh $B
    run "the object: symbols, recursion, stack" sh tests/test_object.sh $B
    run "microcontroller, qemu" sh tests/test_mcu.sh $B
fi
run "bits" compare_bits "" $B/test_library $of_bits
run "vendoring, C, one file" $B/test_vendoring_c $F/llama_gqa/model.harp
run "vendoring, C++98 header" $B/test_vendoring_cpp $F/llama_gqa/model.harp
run "files" $B/test_files examples/demo/demo.harp $W
run "files -DHARP_NO_MMAP" files -DHARP_NO_MMAP
run "files -DHARP_NO_STDIO" files -DHARP_NO_STDIO
run "files -DHARP_NO_MALLOC" files -DHARP_NO_MALLOC
run "files, none of these" files -DHARP_NO_MMAP -DHARP_NO_STDIO -DHARP_NO_MALLOC
run "no writable globals" no_writable_globals
run "no exit, abort or print" no_exit
