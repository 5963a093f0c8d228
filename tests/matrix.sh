#!/bin/sh
# The portability matrix: sh tests/matrix.sh BUILD_FOLDER [readme]
# tests/portable.c is built for one target after another and run there; all must print the hash that the host prints.
# What cannot be built or run for want of a tool is skipped, with the reason. With "readme" the table that the run made
# is written into tests/README.md, between the lines that mark its place.
B=$1
W=$B/matrix
MODEL=examples/demo/demo.harp
SOURCES="tests/portable.c harp_impl.c"
passed=0
failed=0
reference=
mkdir -p $W
rm -f $W/table

# row TARGET COMPILER RUNNER SETS RESULT
row() {
    printf '| %s | %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4" "$5" >> $W/table
}

skip() { # skip TARGET COMPILER RUNNER REASON
    printf 'skipped: %s: %s\n' "$1" "$4"
    row "$1" "$2" "$3" "" "skipped: $4"
}

# judge TARGET COMPILER RUNNER OUTPUT: the last line of the program's output has the hash
judge() {
    hash=$(printf '%s\n' "$4" | tr -d '\r' | sed -n 's/^passed hash //p')
    sets=$(printf '%s\n' "$4" | tr -d '\r' | sed -n 's/^sets //p')
    [ -n "$reference" ] || reference=$hash
    if [ -n "$hash" ] && [ "$hash" = "$reference" ]; then
        passed=$((passed + 1))
        printf 'ok %s, %s: %s\n' "$1" "$sets" "$hash"
        row "$1" "$2" "$3" "$sets" "\`$hash\`"
    else
        failed=$((failed + 1))
        printf 'FAILED %s: %s\n' "$1" "$(printf '%s' "$4" | tail -3)"
        row "$1" "$2" "$3" "$sets" "FAILED"
    fi
}

# missing TOOL...: the first that is not there
missing() {
    for tool in "$@"; do
        command -v $tool > /dev/null || { printf '%s' $tool; return; }
    done
}

# target NAME RUNNER COMPILER FLAGS...: RUNNER is "" for this machine; the compiler gets sources, output and -lm
target() {
    name=$1 runner=$2 cc=$3
    shift 3
    lacks=$(missing $cc ${runner%% *})
    [ -z "$lacks" ] || { skip "$name" "$cc $*" "$runner" "no $lacks"; return; }
    exe="$W/$(printf '%s' "$name" | tr -c 'A-Za-z0-9' '_')"
    [ "${cc#*mingw}" = "$cc" ] || exe=$exe.exe
    if $cc "$@" $SOURCES -o $exe -lm > $exe.log 2>&1; then
        judge "$name" "$cc $*" "$runner" "$(timeout 300 $runner $exe $MODEL 2>> $exe.log ||
            printf '\nstatus %d: %s' $? "$(tail -1 $exe.log)")"
    else
        judge "$name" "$cc $*" "$runner" "does not compile: $(grep -m1 error $exe.log)"
    fi
}

target "x86-64, gcc" "" gcc -O2
target "x86-64, clang" "" clang -O2
target "x86-64, tcc" "" tcc
target "x86-64, musl" "" musl-gcc -static -O2
# Some x86-64 kernels are built without the 32-bit system calls; the emulator has its own.
printf 'int main(void) { return 0; }\n' > $W/narrow.c
{ i686-linux-gnu-gcc -static $W/narrow.c -o $W/narrow && $W/narrow; } 2> /dev/null && narrow= || narrow=qemu-i386
target "i386" "$narrow" i686-linux-gnu-gcc -static -O2 -msse2 -mfpmath=sse
target "aarch64" qemu-aarch64 aarch64-linux-gnu-gcc -static -O2
target "armhf" qemu-arm arm-linux-gnueabihf-gcc -static -O2
target "riscv64" qemu-riscv64 riscv64-linux-gnu-gcc -static -O2
target "s390x, big-endian" qemu-s390x s390x-linux-gnu-gcc -static -O2
target "ppc64, big-endian" qemu-ppc64 powerpc64-linux-gnu-gcc -static -O2
target "mips, big-endian" qemu-mips mips-linux-gnu-gcc -static -O2

# Windows: the path is a Windows path there, and wine wants a folder of its own and no display.
export WINEPREFIX=$PWD/$W/wine WINEDEBUG=-all DISPLAY= LC_ALL=C.UTF-8
wine=$(command -v wine64 || command -v /usr/lib/wine/wine64 || command -v wine)
if [ -z "$wine" ]; then skip "Windows x86-64" "x86_64-w64-mingw32-gcc -O2" wine "no wine"
else target "Windows x86-64" $wine x86_64-w64-mingw32-gcc -O2 -static
fi

# Mapped and read files there, at paths outside ASCII.
files() { # files FLAGS...
    lacks=$(missing x86_64-w64-mingw32-gcc)
    [ -n "$wine" ] || lacks=wine
    [ -z "$lacks" ] || { printf 'skipped: files on Windows %s: no %s\n' "$*" "$lacks"; return; }
    x86_64-w64-mingw32-gcc -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror -O1 -static "$@" \
        tests/test_files.c harp_impl.c -o $W/files.exe && result=$($wine $W/files.exe $MODEL $W 2>&1 | tr -d '\r')
    if printf '%s' "$result" | grep -q '^[0-9]* passed, 0 failed'; then
        passed=$((passed + 1))
        printf 'ok files on Windows %s\n' "$*"
    else
        failed=$((failed + 1))
        printf 'FAILED files on Windows %s: %s\n' "$*" "$result"
    fi
}
files
files -DHARP_NO_MMAP
files -DHARP_NO_STDIO
files -DHARP_NO_MMAP -DHARP_NO_STDIO -DHARP_NO_MALLOC

# WebAssembly with WASI, plain and with SIMD128.
wasm_lacks=$(missing clang wasm-ld node)
[ -n "$wasm_lacks" ] || [ -e /usr/include/wasm32-wasi/stdio.h ] || wasm_lacks="wasi-libc"
for simd in "" "-msimd128"; do
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
    if arm-none-eabi-gcc "$@" --specs=rdimon.specs -T tests/cortex_m.ld tests/cortex_m.c $SOURCES -o $exe -lm > $exe.log 2>&1
    then
        judge "$name" "arm-none-eabi-gcc $*" "qemu-system-arm -M $machine" "$(timeout 300 qemu-system-arm -M $machine \
            -semihosting-config "enable=on,target=native,arg=portable,arg=$MODEL" -nographic -monitor none -serial none \
            -kernel $exe 2>> $exe.log)"
    else
        judge "$name" "arm-none-eabi-gcc $*" "qemu-system-arm -M $machine" "does not compile: $(grep -m1 error $exe.log)"
    fi
}
cortex "Cortex-M4F, bare metal" mps2-an386 -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -O2
cortex "Cortex-M3, bare metal, no FPU" mps2-an385 -mcpu=cortex-m3 -mthumb -O2

if [ "$2" = readme ]; then
    { printf '| target | compiler | run by | instruction sets, each forced | hash of the logits |\n|---|---|---|---|---|\n'; cat $W/table; } > $W/table.md
    awk -v table=$W/table.md '/<!-- matrix end -->/ { inside = 0 } !inside { print }
        /<!-- matrix begin -->/ { inside = 1; while ((getline line < table) > 0) print line }' tests/README.md > $W/README.md
    cp $W/README.md tests/README.md
fi
printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
