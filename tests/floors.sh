#!/bin/sh
# The floors of tools/convert, from its includes: sh tests/floors.sh
# A folder leans on those below it alone, examples lean on what is named here, and no program but ground/host.c includes
# a header of a system or asks for one with a feature macro. Prints what leans on what; ends with "N passed, N failed".
floors="ground model file containers chat tokenizer formats ." # from the bottom up; "." has the program itself
passed=0 failed=0

# arrows: "folder folder" for each include of tools/convert that leaves its folder
arrows() {
    (cd tools/convert && grep -n '^#include "' *.[ch] */*.[ch]) | sed 's/:[0-9]*:#include "/ /; s/"$//' \
        | while read -r file header; do
        from=${file%/*} to=$from
        [ $from != $file ] || from=. to=.
        case $header in
        ../../harp.h | ../../harp_impl.c) continue ;;
        ../*/*) header=${header#../} to=${header%/*} ;;
        */*) to=${header%/*} ;;
        ../*) to=. ;;
        esac
        [ $from = $to ] || echo $from $to
    done | sort | uniq -c
}
floor() { # floor FOLDER: its number, from the ground up
    n=0
    for f in $floors; do
        [ $f != $1 ] || { echo $n; return; }
        n=$((n + 1))
    done
    echo 99
}
leaning=$(arrows | while read -r times from to; do
    if [ $(floor $from) -gt $(floor $to) ]; then echo "     $from leans on $to, $times times"
    else echo "FAILED $from leans on $to, which is not below it"
    fi
done)
printf '%s\n' "$leaning"
failed=$(printf '%s\n' "$leaning" | grep -c '^FAILED')
passed=$(printf '%s\n' "$leaning" | grep -c '^ ')

# only NAME ALLOWED FILES...: what the files include of tools/convert is of the allowed folders
only() {
    name=$1 allowed=$2
    shift 2
    wrong=$(grep -h '^#include "' "$@" | grep 'tools/convert/' | grep -v -E "tools/convert/($allowed)/")
    if [ -z "$wrong" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED $name: $wrong"; fi
}
only "examples/harp" ground examples/harp/*.[ch]
only "examples/eval" ground examples/eval/*.[ch]
only "examples/bench" "ground|model|file" examples/bench/*.[ch]
only "examples/form" "" examples/form/*.[ch]

systems=$(grep -l -E -e '^#include <(unistd|windows|pthread|sys/|signal|fcntl|termios|io|time)' \
    -e '^#define _[A-Z]+_(C_)?SOURCE' \
    tools/convert/*.[ch] tools/convert/*/*.[ch] examples/harp/*.[ch] examples/eval/*.[ch] examples/bench/*.[ch] \
    examples/form/harp_form.h | grep -v 'ground/host\.c$')
if [ -z "$systems" ]; then passed=$((passed + 1))
else failed=$((failed + 1)); echo "FAILED a system's headers: $systems"
fi

printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
