#!/bin/sh
# The library under every compiler that is here: sh tests/test_compilers.sh BUILD_FOLDER [PART]...
# Parts, all of them if none is named: strict lto macros twice names contraction arm numbering windows commands.
# What cannot be done for want of a compiler is skipped, with the reason, and counts for nothing.
B=$1
W=$B/compilers
shift
parts=" ${*:-strict lto macros twice names contraction arm numbering windows commands} "
passed=0
failed=0
MODEL=examples/demo/demo.harp
STRICT="-std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Werror"
mkdir -p $W

good() { passed=$((passed + 1)); }
bad() { # bad NAME [WHY]
    failed=$((failed + 1))
    printf 'FAILED %s: %s\n' "$1" "$2"
}
skip() { printf 'skipped: %s: %s\n' "$1" "$2"; }
wanted() { case "$parts" in *" $1 "*) true ;; *) false ;; esac; }

# accepts NAME COMMAND...: must end well and have nothing to say
accepts() {
    name=$1
    shift
    if "$@" > $W/log 2>&1 && [ ! -s $W/log ]; then good
    else bad "$name" "$(grep -m1 -E 'error|warning|undefined' $W/log || head -1 $W/log)"
    fi
}

# compilers NAME: those of a family that are here, NAME itself and NAME-version, each program once
compilers() {
    seen=
    for version in "" -8 -9 -10 -11 -12 -13 -14 -15 -16 -17 -18 -19 -20 -21 -22; do
        path=$(command -v $1$version) && path=$(readlink -f "$path") || continue
        case "$seen" in *" $path "*) continue ;; esac
        seen="$seen $path "
        echo $1$version
    done
}
gccs=$(compilers gcc)
clangs=$(compilers clang)
newest_clang=$(echo "$clangs" | tail -1)
arms=$(compilers aarch64-linux-gnu-gcc)
mingws=
for cc in x86_64-w64-mingw32-gcc i686-w64-mingw32-gcc; do command -v $cc > /dev/null && mingws="$mingws $cc"; done
flags_for() { case $1 in i686*) echo "-msse2 -mfpmath=sse" ;; esac; } # the library refuses x87
[ -n "$gccs" ] || skip "gcc" "no gcc"
[ -n "$clangs" ] || skip "clang" "no clang"

# A user's file that brings the library along.
cat > $W/user.c << 'END'
#define HARP_IMPLEMENTATION
#include "harp.h"
END

if wanted strict; then
    for cc in $gccs $clangs; do
        accepts "strict $cc" $cc $STRICT -O2 -c harp_impl.c -o $W/x.o
        for std in c11 gnu17 gnu2x; do
            accepts "strict $cc -std=$std" $cc $STRICT -std=$std -fsyntax-only harp_impl.c
        done
        accepts "strict $cc, all static" $cc $STRICT -I. -DHARP_STATIC -fsyntax-only $W/user.c
    done
    for cc in $gccs; do # what gcc warns of depends on what it optimizes; for -O3 see lto
        accepts "strict $cc -Os" $cc $STRICT -Os -c harp_impl.c -o $W/x.o
    done
    if command -v tcc > /dev/null; then accepts "tcc" tcc -Wall -c harp_impl.c -o $W/x.o; else skip "tcc" "no tcc"; fi
fi

# The hash that all builds must print.
reference=$(sed -n 's/^demo //p' tests/fixtures/bits)
[ -n "$reference" ] && good || bad "reference" "tests/fixtures/bits has no hash of the demo model"

# prints_hash NAME COMMAND...
prints_hash() {
    name=$1
    shift
    said=$(timeout 300 "$@" $MODEL 2>&1 | tr -d '\r' | grep -E '^(passed hash|sets|FAILED)')
    case "$said" in *"passed hash $reference") good ;; *) bad "$name" "$said" ;; esac
}

if wanted lto; then
    for cc in $gccs $newest_clang; do
        case $cc in gcc*) optimum="-O3 -march=native -flto=auto" ;; *) optimum="-O2 -flto" ;; esac
        echo 'int main(void) { return 0; }' > $W/empty.c
        $cc $optimum $W/empty.c -o $W/empty 2> /dev/null || { skip "$cc $optimum" "this compiler cannot"; continue; }
        accepts "$cc $optimum" $cc $STRICT $optimum tests/portable.c harp_impl.c -o $W/lto -lm -pthread
        prints_hash "$cc $optimum" $W/lto
    done
fi

# Macros: none of ours is left but HARP_...
if wanted macros; then
    sed -n 's/^ *# *define *\([A-Za-z_][A-Za-z0-9_]*\).*/\1/p' harp.h harp_impl.c | sort -u \
        | grep -v '^HARP_' > $W/private
    for cc in $gccs $clangs $arms $mingws; do
        if ! $cc $(flags_for $cc) -I. -E -dM $W/user.c > $W/defined 2> $W/log; then
            bad "macros $cc" "$(head -1 $W/log)"
            continue
        fi
        left=$(awk '{ print $2 }' $W/defined | sed 's/(.*//' | grep -xF -f $W/private)
        grep -q 'HARP_VERSION' $W/defined && [ -z "$left" ] && good || bad "macros $cc" "left behind: $(echo $left)"
    done
fi

# Two files with a copy each, and a file that includes it twice.
if wanted twice; then
    cat > $W/one.c << 'END'
#define HARP_IMPLEMENTATION
#include "harp.h"
#include "harp.h"
const char *other(void);
int main(void) { return harp_status_name(HARP_ERR_IO)[9] != 'I' || other()[9] != 'I'; }
END
    cat > $W/other.c << 'END'
#define HARP_IMPLEMENTATION
#include "harp.h"
const char *other(void);
const char *other(void) { return harp_status_name(HARP_ERR_IO); }
END
    for cc in $(echo $gccs | cut -d' ' -f1) $(echo $clangs | cut -d' ' -f1); do
        accepts "two copies $cc" $cc $STRICT -I. -DHARP_STATIC -DHARP_NO_SIMD $W/one.c $W/other.c -o $W/two -lm -pthread
        accepts "two copies $cc, run" $W/two
    done
fi

# Macros that headers of others define, and that must not meet a name of ours: windows.h and what it includes, X11,
# complex.h, old Unix.
if wanted names; then
    {
        echo '#include <float.h>'
        for h in fcntl limits math pthread sched stdarg stddef stdint stdio stdlib string unistd sys/auxv sys/mman \
            sys/stat \
            sys/time; do
            printf '#if __has_include(<%s.h>)\n#include <%s.h>\n#endif\n' $h $h
        done
        printf '#if defined(__x86_64__)\n#include <immintrin.h>\n#endif\n'
        for name in small hyper near far pascal interface IN OUT OPTIONAL CONST VOID THIS PURE TRUE FALSE ERROR DELETE \
            STRICT \
            Bool Status None True False Always Success Yield major minor I bool true false unix linux vax sun; do
            printf '#undef %s\n#define %s ::\n' $name $name
        done
        printf '#undef min\n#define min(a, b) ::\n#undef max\n#define max(a, b) ::\n'
        cat $W/user.c
    } > $W/names.c
    for cc in $gccs $clangs; do
        accepts "names of others, $cc" $cc -I. -Wall -Wextra -Werror -fsyntax-only $W/names.c
    done
fi

# Contraction: whatever your file and its command line say, we do not fuse, and your functions are what they are without
# us. (clang's -ffp-contract=fast fuses whatever a file says: harp_open refuses such a build.) A function that follows
# us also shows whether one of our targets is still in force.
code() { # code OBJECT FUNCTION: its instructions without their addresses
    objdump -d --no-show-raw-insn $1 | awk -v name="<$2>:" '$2 == name { on = 1; next } on && NF < 2 { exit }
        on && !/nop/ { $1 = ""; print }' | sed 's/#.*//; s/[0-9a-f]* *</</; s/ *$//'
}
contraction() { # contraction COMPILER FLAGS...
    name="contraction $*"
    if ! "$@" -w -I. -O2 -c $W/alone.c -o $W/alone.o 2> $W/log \
        || ! "$@" -w -I. -O2 -DWITH -c $W/alone.c -o $W/with.o 2>> $W/log
    then
        bad "$name" "$(head -1 $W/log)"
        return
    fi
    for f in users_sum users_loop; do
        code $W/alone.o $f > $W/code_alone
        code $W/with.o $f > $W/code_with
        [ -s $W/code_alone ] && cmp -s $W/code_alone $W/code_with && good \
            || bad "$name" "$f is another with the library before it"
    done
    ours=$(objdump -d --no-show-raw-insn $W/with.o | awk '/^[0-9a-f]+ </ { f = $2 } /vfn?m(add|sub)/ { print f }' \
        | grep -v '<users_' | sort -u)
    [ -z "$ours" ] && good || bad "$name" "fused in the library: $(echo $ours)"
}
if wanted contraction; then
    cat > $W/alone.c << 'END'
#ifdef USERS_OFF
#pragma STDC FP_CONTRACT OFF
#endif
#ifdef USERS_ON
#pragma STDC FP_CONTRACT ON
#endif
#ifdef WITH
#define HARP_IMPLEMENTATION
#include "harp.h"
#endif
float users_sum(float a, float b, float c) { return a * b + c; }
void users_loop(float *restrict a, const float *restrict b, int n) { for (int i = 0; i < n; i++) a[i] += 3 * b[i]; }
END
    if [ "$(uname -m)" = x86_64 ] && command -v objdump > /dev/null; then
        for cc in $gccs; do
            contraction $cc
            for how in "" -std=c99 -ffp-contract=off; do contraction $cc -DHARP_NO_SIMD -mfma $how; done
        done
        for cc in $clangs; do
            contraction $cc
            for how in "" -ffp-contract=off "-ffp-contract=on -DUSERS_OFF" \
                "-ffp-contract=off -DUSERS_ON"; do
                contraction $cc -DHARP_NO_SIMD -mfma $how
            done
        done
    else
        skip "contraction" "this machine is no x86-64, or has no objdump"
    fi
fi

# 64-bit ARM: a command line may add to ARMv8-A what it likes, and old compilers leave out what they do not know.
if wanted arm; then
    [ -n "$arms" ] || skip "64-bit ARM" "no aarch64-linux-gnu-gcc"
    for cc in $arms; do
        for how in "" -mcpu=neoverse-n1 -mcpu=cortex-a72+crypto "-march=armv8.5-a -mbranch-protection=standard" \
            -march=armv8.2-a+fp16+sve; do
            accepts "$cc $how" $cc $STRICT -O0 $how -c harp_impl.c -o $W/arm.o # always_inline needs no more
        done
        # has VERSION SETS...: what gcc of that version would compile
        has() {
            $cc -U__GNUC__ -D__GNUC__=$1 -E harp_impl.c 2> /dev/null | grep -oE 'hp_kernels_(neon|dotprod|i8mm|c) =' \
                | tr '\n' ' ' > $W/sets
            [ "$(cat $W/sets)" = "$2" ] && good || bad "$cc as gcc $1" "it compiles $(cat $W/sets)"
        }
        has 7 "hp_kernels_c = hp_kernels_neon = "
        has 9 "hp_kernels_c = hp_kernels_neon = hp_kernels_dotprod = "
        has 10 "hp_kernels_c = hp_kernels_neon = hp_kernels_dotprod = hp_kernels_i8mm = "
        if command -v qemu-aarch64 > /dev/null; then
            $cc -O1 -mcpu=neoverse-n1 -static tests/portable.c harp_impl.c -o $W/arm -lm -pthread 2> $W/log
            prints_hash "$cc -mcpu=neoverse-n1, qemu" qemu-aarch64 $W/arm
        else
            skip "$cc, run" "no qemu-aarch64"
        fi
    done
fi

# Apple counts clang's versions otherwise.
apple() { # apple VERSION SET there|absent FLAGS...
    version=$1 set=$2 expected=$3
    shift 3
    "$clang" "$@" -w -U__clang_major__ -D__clang_major__=$version -D__apple_build_version__=1 -E harp_impl.c \
        > $W/apple.i 2> $W/log
    grep -q "hp_kernels_c =" $W/apple.i || { bad "Apple's clang $version" "$(head -1 $W/log)"; return; }
    if grep -q "hp_kernels_$set =" $W/apple.i; then found=there; else found=absent; fi
    [ $found = $expected ] && good || bad "Apple's clang $version" "$set is $found"
}
if wanted numbering; then
    clang=$newest_clang
    if [ -n "$clang" ]; then
        apple 12 avx2 there --target=x86_64-linux-gnu
        apple 12 avxvnni absent --target=x86_64-linux-gnu
        apple 13 avxvnni there --target=x86_64-linux-gnu
        if [ -d /usr/aarch64-linux-gnu/include ]; then
            arm="--target=aarch64-linux-gnu -isystem /usr/aarch64-linux-gnu/include"
            apple 15 neon there $arm
            apple 15 i8mm absent $arm
            apple 15 dotprod absent $arm
            apple 15 dotprod there $arm -march=armv8.4-a
            apple 15 i8mm there $arm -march=armv8.6-a
            apple 16 i8mm there $arm
        else
            skip "Apple's clang on ARM" "no headers of aarch64-linux-gnu"
        fi
    fi
fi

# Windows: our file after all of windows.h, before it, and in programs for Windows XP. clang-cl hides the wide sets'
# intrinsics by _MSC_VER; clang with MinGW's headers and that macro does the same, and its programs run here.
export WINEPREFIX=$PWD/$W/wine WINEDEBUG=-all DISPLAY= LC_ALL=C.UTF-8
case $W in /*) WINEPREFIX=$W/wine ;; esac
if wanted windows; then
    cat > $W/after.c << 'END'
#include <winsock2.h>
#include <windows.h>
#include <rpc.h>
#include <rpcndr.h>
#include <ole2.h>
#include <shlobj.h>
#include <commctrl.h>
#include <mmsystem.h>
#define small char /* Microsoft's rpcndr.h has it always */
#define HARP_IMPLEMENTATION
#include "harp.h"
#if defined(WIN32_LEAN_AND_MEAN) || defined(NOMINMAX) || !defined(min)
#error "the macros of windows.h are not what they were"
#endif
END
    cat > $W/before.c << 'END'
#define WIN32_LEAN_AND_MEAN 1
#define HARP_IMPLEMENTATION
#include "harp.h"
#if WIN32_LEAN_AND_MEAN != 1 || defined(NOMINMAX) || _WIN32_WINNT != 0x0501
#error "your macros are not what they were"
#endif
#include <windows.h>
END
    [ -n "$mingws" ] || skip "Windows" "no mingw-w64"
    for cc in $mingws; do
        accepts "$cc, after windows.h" $cc $STRICT $(flags_for $cc) -I. -fsyntax-only $W/after.c
        for version in 0x0400 0x0501 0x0600 0x0a00; do
            accepts "$cc _WIN32_WINNT=$version" $cc $STRICT $(flags_for $cc) -D_WIN32_WINNT=$version -fsyntax-only \
                harp_impl.c
        done
        accepts "$cc, before windows.h" $cc $STRICT $(flags_for $cc) -I. -D_WIN32_WINNT=0x0501 -fsyntax-only $W/before.c
    done
    wine=$(command -v wine64 || command -v /usr/lib/wine/wine64 || command -v wine)
    if ! command -v x86_64-w64-mingw32-gcc > /dev/null; then skip "clang-cl" "no x86_64-w64-mingw32-gcc"
    else
        # No spinning, so that workers fall asleep as often as they can.
        mkdir -p $W/sleepy && cp harp.h $W/sleepy \
            && sed 's/HP_SPINS = [0-9]*/HP_SPINS = 0/' harp_impl.c > $W/sleepy/harp_impl.c
        for cc in $clangs; do
            accepts "as clang-cl, $cc" $cc --target=x86_64-w64-windows-gnu -D_MSC_VER=1930 -Wall -Wextra -Werror -O1 \
                -c $W/sleepy/harp_impl.c -o $W/cl.o
            [ -n "$wine" ] || { skip "as clang-cl, $cc, run" "no wine"; continue; }
            x86_64-w64-mingw32-gcc -static tests/portable.c $W/cl.o -o $W/cl.exe 2> $W/log
            prints_hash "as clang-cl, $cc, run" $wine $W/cl.exe
            ! grep -q avx2 /proc/cpuinfo \
                || case "$said" in *avx2*) good ;; *) bad "as clang-cl, $cc" "no AVX2: $said" ;; esac
        done
    fi
fi

# The commands that harp.h and the examples give: each must work, and link threads where the C library keeps them apart.
if wanted commands; then
    rm -rf $W/commands
    mkdir -p $W/commands
    cp -R harp.h harp_impl.c examples tools $W/commands
    sed -n '/^ \*     #include <stdio.h>/,/^ \*     cc /p' harp.h | sed '$d; s/^ \*//' > $W/commands/hello.c
    for f in harp.h examples/*.c examples/*/main.c; do
        command=$(sed -n 's/^ \*  *\(cc .*\)/\1/p' $f | sed 's/ && .*//; s/-O2/-O0 -DHARP_NO_SIMD/') # the same, sooner
        [ -n "$command" ] || continue
        case "$command" in *-pthread*) good ;; *) bad "command of $f" "no -pthread: $command" ;; esac
        (cd $W/commands && sh -c "$command") > $W/log 2>&1 && good || bad "command of $f" "$(head -3 $W/log)"
    done
    said=$($W/commands/a.out $MODEL "Once upon a time" 2>&1) && [ -n "$said" ] && good \
        || bad "the program of harp.h" "$said"
fi

echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
