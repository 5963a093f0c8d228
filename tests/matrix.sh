#!/bin/sh
# The portability matrix: sh tests/matrix.sh BUILD_FOLDER [readme | PART...]
# One text, one result: tests/portable.c is built for one target after another and run there, and on some of them the
# reference models compute, each for a kernel. All must give the bits that fixtures/bits has. PART: built (what "make
# test" has built), gcc, clang, machines, windows, wasm, bare; all of them if none is named. What cannot be built or run
# for want of a tool is skipped, with the reason. With "readme" the table that the run made is written into
# tests/README.md, between the lines that mark its place.
B=$1
shift
F=tests/fixtures
MODEL=examples/demo/demo.harp
W=$B/matrix/$(echo "${*:-all}" | tr ' ' -) # several parts may run at once
readme=
[ "$*" != readme ] || readme=yes
parts=" ${*:-all} "
passed=0
failed=0
expected="$(sed -n 's/^demo //p' $F/bits) $(sed -n 's/^demo4 //p' $F/bits)"
reference_models=$(sed '/^demo/d; s/ .*//' $F/bits)
mkdir -p $W
rm -f $W/table
FOUR=$W/demo4.harp # the demo model with weights of four bits
${CC:-cc} -std=c99 tests/four_bits.c -o $W/four_bits && $W/four_bits $MODEL $FOUR || exit 1

wanted() { # wanted PART
    case "$parts" in *" $1 "* | " all " | " readme ") ;; *) return 1 ;; esac
}

# row TARGET COMPILER RUNNER SETS RESULT
row() {
    printf '| %s | %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4" "$5" >> $W/table
}

skip() { # skip TARGET COMPILER RUNNER REASON
    printf 'skipped: %s: %s\n' "$1" "$4"
    row "$1" "$2" "$3" "" "skipped: $4"
}

good() { # good WHAT
    passed=$((passed + 1))
    printf 'ok %s\n' "$1"
}

bad() { # bad WHAT WHY
    failed=$((failed + 1))
    printf 'FAILED %s: %s\n' "$1" "$2"
}

# judge TARGET COMPILER RUNNER OUTPUT: the last line of the program's output has the hash
judge() {
    hash=$(printf '%s\n' "$4" | tr -d '\r' | sed -n 's/^passed hash //p')
    sets=$(printf '%s\n' "$4" | tr -d '\r' | sed -n 's/^sets //p')
    if [ -n "$hash" ] && [ "$hash" = "$expected" ]; then
        good "$1, $sets: $hash"
        row "$1" "$2" "$3" "$sets" "\`$hash\`"
    else
        bad "$1" "$(printf '%s' "$4" | tail -3)"
        row "$1" "$2" "$3" "$sets" "FAILED"
    fi
}

# missing TOOL...: the first that is not there
missing() {
    for tool in "$@"; do
        command -v $tool > /dev/null || { printf '%s' $tool; return; }
    done
}

# library NAME RUNNER COMPILER FLAGS...: the library for a target, once for all programs that run there; RUNNER is ""
# for this machine. Without its tools or if it does not compile, $object is empty, and what runs there is left out.
library() {
    name=$1 runner=$2 cc=$3
    shift 2
    compiler=$*
    object=$W/$(printf '%s' "$name" | tr -c 'A-Za-z0-9' '_').o
    lacks=$(missing $cc ${runner%% *})
    if [ -n "$lacks" ]; then object=
    elif ! "$@" -c harp_impl.c -o $object > $object.log 2>&1; then
        bad "$name" "does not compile: $(grep -m1 error $object.log)"
        object=
    fi
}

# target NAME RUNNER COMPILER FLAGS...: a row of the table
target() {
    library "$@"
    if [ -n "$lacks" ]; then skip "$name" "$compiler" "$runner" "no $lacks"; return; fi
    [ -n "$object" ] || { row "$name" "$compiler" "$runner" "" "FAILED"; return; }
    exe=${object%.o}
    [ "${cc#*mingw}" = "$cc" ] || exe=$exe.exe
    if $compiler tests/portable.c $object -o $exe -lm > $exe.log 2>&1; then
        judge "$name" "$compiler" "$runner" "$(timeout 600 $runner $exe $MODEL $FOUR 2>> $exe.log ||
            printf '\nstatus %d: %s' $? "$(tail -1 $exe.log)")"
    else
        judge "$name" "$compiler" "$runner" "does not compile: $(grep -m1 error $exe.log)"
    fi
}

# compare WHAT RUNNER PROGRAM MODEL...: test_library's hashes of these models
compare() {
    what=$1 run_by=$2 program=$3
    shift 3
    for m in "$@"; do echo $m $($run_by $program $F/$m/model.harp hash); done > $W/hashes
    if [ -s $W/hashes ] && ! grep -v -x -F -f $F/bits $W/hashes; then good "$what: $*"
    else bad "$what" "other bits than fixtures/bits has"
    fi
}

# models MODEL...: the same of the target before, or of a library that only this is asked of
models() {
    if [ -n "$lacks" ]; then printf 'skipped: models, %s: no %s\n' "$name" "$lacks"; return; fi
    [ -n "$object" ] || return 0
    if $compiler tests/test_library.c $object -o ${object%.o}-models -lm > $object.log 2>&1; then
        compare "models, $name" "$runner" ${object%.o}-models "$@"
    else bad "models, $name" "does not compile: $(grep -m1 error $object.log)"
    fi
}

if wanted built; then
    compare "models, as built" "" $B/test_library $reference_models
fi
for cc in gcc clang; do
    wanted $cc || continue
    target "x86-64, $cc" "" $cc -O2
    models $reference_models
    fast= # with it clang fuses whatever a file says, and the library refuses such a build
    [ $cc != gcc ] || fast=" -ffp-contract=fast"
    for o in "-std=c99 -O0" "-O3 -march=native$fast"; do
        library "$cc $o" "" $cc $o
        models $reference_models
    done
done

if wanted machines; then
    target "x86-64, tcc" "" tcc
    target "x86-64, musl" "" musl-gcc -static -O2
    # Some x86-64 kernels are built without the 32-bit system calls; the emulator has its own.
    printf 'int main(void) { return 0; }\n' > $W/narrow.c
    { i686-linux-gnu-gcc -static $W/narrow.c -o $W/narrow && $W/narrow; } 2> /dev/null && narrow= || narrow=qemu-i386
    target "i386" "$narrow" i686-linux-gnu-gcc -static -O2 -msse2 -mfpmath=sse
    target "aarch64" qemu-aarch64 aarch64-linux-gnu-gcc -static -O2
    models $reference_models
    target "armhf" qemu-arm arm-linux-gnueabihf-gcc -static -O2
    target "riscv64" qemu-riscv64 riscv64-linux-gnu-gcc -static -O2
    target "s390x, big-endian" qemu-s390x s390x-linux-gnu-gcc -static -O2
    target "ppc64, big-endian" qemu-ppc64 powerpc64-linux-gnu-gcc -static -O2
    target "mips, big-endian" qemu-mips mips-linux-gnu-gcc -static -O2
    # With -std=c99 floats are evaluated in double there: a few models, for the emulator takes its time, and the kernels
    # with odd sizes.
    library "s390x -std=c99" qemu-s390x s390x-linux-gnu-gcc -std=c99 -static -O2
    models llama_gqa gpt2 gpt_oss qwen3_next
    if [ -n "$object" ]; then
        $compiler tests/test_numbers.c -o $W/numbers -lm && qemu-s390x $W/numbers kernels > $W/said 2>&1 \
            && good "kernels, $name" || bad "kernels, $name" "$(tail -3 $W/said)"
    fi
fi

# Windows: the path is a Windows path there, and wine wants a folder of its own and no display.
export WINEPREFIX=$PWD/$W/wine WINEDEBUG=-all DISPLAY= LC_ALL=C.UTF-8
wine=$(command -v wine64 || command -v /usr/lib/wine/wine64 || command -v wine)
# Mapped and read files there, at paths outside ASCII.
files() { # files FLAGS...
    lacks=$(missing x86_64-w64-mingw32-gcc)
    [ -n "$wine" ] || lacks=wine
    [ -z "$lacks" ] || { printf 'skipped: files on Windows %s: no %s\n' "$*" "$lacks"; return; }
    x86_64-w64-mingw32-gcc -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -O1 -static \
        -DHARP_NO_SIMD "$@" \
        tests/test_files.c harp_impl.c -o $W/files.exe && result=$($wine $W/files.exe $MODEL $W 2>&1 | tr -d '\r')
    if printf '%s' "$result" | grep -q '^[0-9]* passed, 0 failed'; then good "files on Windows $*"
    else bad "files on Windows $*" "$result"
    fi
}
if wanted windows; then
    if [ -z "$wine" ]; then skip "Windows x86-64" "x86_64-w64-mingw32-gcc -O2" wine "no wine"
    else target "Windows x86-64" $wine x86_64-w64-mingw32-gcc -O2 -static
    fi
    files
    files -DHARP_NO_MMAP
    files -DHARP_NO_STDIO
    files -DHARP_NO_MMAP -DHARP_NO_STDIO -DHARP_NO_MALLOC
fi

# WebAssembly with WASI, plain and with SIMD128.
wasm_lacks=$(missing clang wasm-ld node)
[ -n "$wasm_lacks" ] || [ -e /usr/include/wasm32-wasi/stdio.h ] || wasm_lacks="wasi-libc"
for simd in "" "-msimd128"; do
    wanted wasm || continue
    name="WebAssembly${simd:+, SIMD128}"
    if [ -n "$wasm_lacks" ]; then skip "$name" "clang --target=wasm32-wasi" node "no $wasm_lacks"
    else target "$name" "node --no-warnings tests/wasi.mjs" clang --target=wasm32-wasi -O2 $simd
    fi
done

# Microcontrollers: no operating system; newlib's semihosting library reads the file through the debugger's door.
cortex() { # cortex NAME MACHINE FLAGS...
    name=$1 machine=$2
    shift 2
    lacks=$(missing arm-none-eabi-gcc qemu-system-arm)
    [ -z "$lacks" ] || { skip "$name" "arm-none-eabi-gcc $*" qemu-system-arm "no $lacks"; return; }
    exe="$W/$(printf '%s' "$name" | tr -c 'A-Za-z0-9' '_')"
    if arm-none-eabi-gcc "$@" --specs=rdimon.specs -T tests/cortex_m.ld tests/cortex_m.c tests/portable.c harp_impl.c \
        -o $exe -lm > $exe.log 2>&1; then
        said=$(timeout 900 qemu-system-arm -M $machine -kernel $exe -nographic -monitor none -serial none \
            -semihosting-config "enable=on,target=native,arg=portable,arg=$MODEL,arg=$FOUR" 2>> $exe.log)
    else said="does not compile: $(grep -m1 error $exe.log)"
    fi
    judge "$name" "arm-none-eabi-gcc $*" "qemu-system-arm -M $machine" "$said"
}
if wanted bare; then
    cortex "Cortex-M4F, bare metal" mps2-an386 -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -O2
    cortex "Cortex-M3, bare metal, no FPU" mps2-an385 -mcpu=cortex-m3 -mthumb -O2
fi

if [ -n "$readme" ]; then
    { printf '| target | compiler | run by | instruction sets, each forced | hashes of the logits, int8 and four bits |\n'
        printf '|---|---|---|---|---|\n'
        cat $W/table; } > $W/table.md
    awk -v table=$W/table.md '
        /<!-- matrix end -->/ { inside = 0 }
        !inside { print }
        /<!-- matrix begin -->/ { inside = 1; while ((getline line < table) > 0) print line }
        ' tests/README.md > $W/README.md
    cp $W/README.md tests/README.md
fi
printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
