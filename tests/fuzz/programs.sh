#!/bin/sh
# harp-convert as a program, under limits of time, memory and disk:
#
#     sh tests/fuzz/programs.sh BUILD_FOLDER SECONDS [SEED]
#
# Takes turns between the 64-bit program and, where there is a compiler for it, a 32-bit one. programs.c makes an input
# for each seed. An execution is a finding if
#   - the program ends by a signal, does not end in ten seconds, or ends otherwise than with 0 or 1;
#   - it runs out of memory over a small input;
#   - it refuses without saying why, or says it with control characters in the text;
#   - it leaves anything beside the output, or an output after a refusal;
#   - the 64-bit library does not open, verify or run what either program wrote.
# A finding's input stays in BUILD_FOLDER/fuzz/found/programs-SEED; "programs make SEED FOLDER" makes it anew.
B=$1/fuzz seconds=$2 seed=${3:-1}
sources="tools/convert/*.c tools/convert/*/*.c"
flags="-std=c99 -D_POSIX_C_SOURCE=200809L -O1 -g -w -DHARP_NO_SIMD"
mkdir -p $B/found

stale() { # stale PROGRAM: not made yet, or of older sources
    [ ! -x $1 ] || [ -n "$(find harp.h harp_impl.c tools/convert tests/fuzz -name '*.[ch]' -newer $1)" ]
}
if stale $B/convert64 || stale $B/programs; then
    rm -rf $B/objects && mkdir -p $B/objects
    for c in $sources harp_impl.c; do gcc $flags -c $c -o $B/objects/$(basename $c .c).o || exit 1; done
    gcc $B/objects/*.o -o $B/convert64 -lm -pthread || exit 1
    rm $B/objects/convert.o # that one is in converted.h
    gcc $flags tests/fuzz/programs.c $B/objects/*.o -o $B/programs -lm -pthread || exit 1
fi
kinds=64
if command -v i686-linux-gnu-gcc > /dev/null; then
    ! stale $B/convert32 || i686-linux-gnu-gcc -static -msse2 -mfpmath=sse $flags $sources \
        harp_impl.c -o $B/convert32 -lm -pthread || exit 1
    $B/convert32 --help > /dev/null 2>&1 && kinds="64 32"
fi

[ -n "$TMPDIR" ] || [ ! -w /dev/shm ] || TMPDIR=/dev/shm # the program flushes what it writes: that takes a disk long
work=$(mktemp -d "${TMPDIR:-/tmp}/harp-programs-XXXXXX")
trap 'rm -rf $work' EXIT
runs=0 written=0 found=0

finding() { # finding WHAT
    found=$((found + 1))
    printf 'FOUND seed %s, %s bits: %s\n' $seed $kind "$1"
    rm -rf $B/found/programs-$seed
    cp -r --sparse=always $work $B/found/programs-$seed 2> /dev/null &
    copy=$!
    sleep 1 && kill $copy 2> /dev/null # a pipe cannot be copied
}

# Sets status. The limits: kilobytes of memory; half-kilobytes of a file, so that holes do not become a disk's worth.
convert() { # convert MEGABYTES ARGUMENTS...
    megabytes=$1
    shift
    (
        ulimit -v $((megabytes * 1024))
        ulimit -f 131072
        exec timeout 10 $B/convert$kind "$@"
    ) > $work/said 2>&1
    status=$?
}

judge() { # judge MEGABYTES
    case $status in
    0)
        written=$((written + 1))
        $B/programs after $work/out/model.harp $seed > $work/after 2>&1 || finding "the library: $(tail -1 $work/after)"
        rm -f $work/out/model.harp # gone already, unless that failed
        ;;
    1)
        [ -s $work/said ] || finding "refused without a word"
        ! grep -q 'out of memory' $work/said || [ $1 -gt 300 ] || finding "out of memory: $(tail -1 $work/said)"
        ;;
    *) finding "exit status $status: $(tail -1 $work/said)" ;;
    esac
    [ -z "$(LC_ALL=C tr -d '\t\n\040-\176\200-\377' < $work/said | head -c 1)" ] \
        || finding "control characters in what it says"
    [ -z "$(ls -A $work/out)" ] || finding "left behind: $(ls -A $work/out)"
}

end=$(($(date +%s) + seconds))
while [ $(date +%s) -lt $end ]; do
    mkdir -p $work/in $work/out
    $B/programs make $seed $work/in > $work/arguments || exit 1
    { read -r arguments && read -r megabytes; } < $work/arguments
    for kind in $kinds; do
        convert $megabytes $arguments $work/out/model.harp
        judge $megabytes
        runs=$((runs + 1))
    done
    rm -rf $work/in $work/out
    seed=$((seed + 1))
done
printf '%-24s %10s executions, %s files written and run, %s\n' "programs ($kinds bits)" $runs $written \
    "$([ $found = 0 ] && echo 'no finding' || echo "$found FOUND, see $B/found")" | tee -a $B/said
printf '%d passed, %d failed\n' $((runs - found)) $found
[ $found = 0 ]
