#!/bin/sh
# Runs the tests: sh tests/run.sh BUILD_FOLDER [all]; with "all" the heavy ones, too.
#
#   GROUP=converter   in the environment: those of tests/groups/converter.sh alone
#   ONE=test_words    those alone that run this program, or this script of tests/
#
# tests/groups/ says what there is to run, a line a test. These files are read once to count the tests and once more for
# each of them, so that they can run side by side, one for each processor. A test has a folder of its own, $W, and ends
# with a line "N passed, N failed"; the sums come last. What cannot run here says "skipped: why" and counts for nothing.
jobs=$(printf '%s\n' "$MAKEFLAGS" | sed -n 's/.*-j *\([0-9][0-9]*\).*/\1/p') # make -j1 test: one after the other
unset MAKEFLAGS MFLAGS MAKELEVEL # what is made here is made as by hand, not as a part of the make that runs this
B=$1
all=$2
chosen=$3 # the number of one test: this reading is for that one
F=tests/fixtures
models=$(ls $F/*/model.harp | sed "s|^$F/||; s|/model.harp$||") # the reference models
groups="static fuzz portability library converter programs"   # what takes long first, or the last test runs alone
CC=${CC:-cc}
W=$B/runs/$chosen
number=0

# Words for the groups: what a test needs; where it is not there, it is skipped.
has() { # has TOOL...
    for tool in "$@"; do command -v $tool > /dev/null || { echo "skipped: no $tool"; return 1; }; done
}
can() { # can COMPILER FLAGS...
    has $1 || return 1
    echo 'int main(void) { return 0; }' > $W/empty.c
    "$@" $W/empty.c -o $W/empty > $W/log 2>&1 || { echo "skipped: this machine cannot: $*"; return 1; }
}
sanitized="gcc -std=c99 -g1 -O1 -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
has_sanitized() { # the library, see the Makefile
    [ -f $B/sanitized.o ] || { echo "skipped: gcc has no sanitizers here"; return 1; }
}
one="1 passed, 0 failed" # what a test of a single thing says

# all_of "COMMAND"...: a test of several programs, whose numbers are added up
all_of() {
    status=0
    : > $W/said
    for command in "$@"; do
        $command >> $W/said 2>&1 || status=$?
    done
    cat $W/said
    awk '/^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3 } END { print p + 0 " passed, " f + 0 " failed" }' $W/said
    return $status
}

# run NAME COMMAND...: a test
run() {
    case "${ONE:+no} $* " in "no "*[/\ ]$ONE[.\ ]*) ;; no*) return ;; esac
    number=$((number + 1))
    [ "$number" = "$chosen" ] || return 0
    name=$1
    shift
    mkdir -p $W
    began=$(date +%s)
    out=$("$@" 2>&1)
    report "$name" $? $(($(date +%s) - began))
}

# report NAME STATUS SECONDS: prints what $out says, and writes its numbers down. A program that printed none has
# failed, unless it was skipped; and so has one that counted no failure but ended with an error: it crashed after its
# last line, or a sanitizer found a leak.
report() {
    line=$(printf '%s\n' "$out" | grep -E '^[0-9]+ passed, [0-9]+ failed' | tail -1)
    skipped=$(printf '%s\n' "$out" | grep -c '^skipped')
    p=${line%% *} f=${line#*, } f=${f%% *}
    if [ -z "$line" ]; then p=0 f=1; fi
    if [ -z "$line" ] && [ $2 = 0 ] && [ $skipped != 0 ]; then f=0; fi
    if [ $2 != 0 ] && [ $f = 0 ]; then f=1; fi
    took=
    [ $3 -lt 10 ] || took=", $3 s"
    shown='^(skipped|note)'
    [ $f = 0 ] || shown='^([^o]|o[^k]|ok[^ ])'
    printf '%s\n' "$(printf '%-44s %s passed, %s failed%s\n' "$1" $p $f "$took"
        [ $f = 0 ] || [ $2 = 0 ] || echo "FAILED  $1: ended with status $2"
        printf '%s\n' "$out" | grep -E "$shown" | head -40)"
    echo "$p $f $skipped" > $W/counts
}

for group in ${GROUP:-$groups}; do
    [ -f tests/groups/$group.sh ] || { echo "there is no group $group; there are: $groups"; exit 2; }
    . tests/groups/$group.sh
done
[ -z "$chosen" ] || exit 0

if [ $number = 0 ]; then
    echo "no test runs ${ONE:-here} ${GROUP:+in the group $GROUP}${all:-; make test-all runs more}"
    exit 2
fi
rm -rf $B/runs
mkdir -p $B/runs
processors=$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)
i=0
while [ $i -lt $number ]; do echo $((i += 1)); done | xargs -P ${jobs:-$processors} -n 1 sh tests/run.sh "$B" "$all"
cat $B/runs/*/counts | awk -v tests=$number '{ p += $1; f += $2; s += $3; n++ }
    END { f += tests - n # one that left no numbers
        if (s) print s " skipped"
        print p " passed, " f + 0 " failed"
        exit f > 0 || p == 0 }'
