#!/bin/sh
# The projects of examples/vendoring, each with the two files copied in, built (optimising little, for time) and run:
#     sh tests/test_vendoring.sh BUILD_FOLDER
B=$1
V=$B/vendoring
MODEL=$PWD/examples/demo/demo.harp
passed=0
failed=0
rm -rf $V
mkdir -p $V
cp -R examples/vendoring/. $V
expected=$($B/harp run --paper -m $MODEL -p "One day, Anna" -n 40 --seed 7 --color never | sed 's/^One day, Anna//')
last=$($B/harp run --paper -m $MODEL -p "One day, Anna" -n 40 --seed 7 -c 64 --cache int8 --frame last --color never \
    | sed 's/^One day, Anna//')

judge() { # judge NAME OUTPUT EXPECTED
    if [ -n "$2" ] && [ "$2" = "$3" ]; then passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s: %s\n' "$1" "$(printf '%s' "$2" | head -5)"
    fi
}

vendor() { # vendor FOLDER: puts the two files there
    mkdir -p $1
    cp harp.h harp_impl.c $1
}

vendor $V/make/vendor
judge make "$(make -s -C $V/make CFLAGS=-O1 2>&1 && $V/make/story $MODEL "One day, Anna" 2>&1)" "$expected"
vendor $V/cpp17/harp
judge cpp17 "$(make -s -C $V/cpp17 CFLAGS=-O1 2>&1 && $V/cpp17/story $MODEL "One day, Anna" 2>&1)" "$expected"
vendor $V/strict
judge strict "$(make -s -C $V/strict 2>&1 && $V/strict/story $MODEL "One day, Anna" 2>&1)" "$expected"
vendor $V/cmake/third_party/harp
if command -v cmake > /dev/null; then
    judge cmake "$({ cmake -S $V/cmake -B $V/cmake/build -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O1 \
        && cmake --build $V/cmake/build; } > $V/cmake.log 2>&1 \
        && $V/cmake/build/story $MODEL "One day, Anna" 2>&1 || tail -5 $V/cmake.log)" "$expected"
else
    echo "skipped: vendoring by CMake: no cmake"
fi

# A sketch: Arduino puts its header before the .ino file, compiles that as C++, and every source under src.
S=$V/arduino/story
vendor $S/src/harp
od -An -v -tu1 $MODEL | sed 's/ *\([0-9][0-9]*\)/\1,/g' > $S/model.h
printf '#include "%s/tests/arduino.h"\n#include "story.ino"\nint main() { setup(), loop(); }\n' "$PWD" > $S/sketch.cpp
judge arduino "$(cd $S && gcc -std=gnu11 -Os -ffunction-sections -c src/harp/harp_impl.c -o harp_impl.o 2>&1 \
    && g++ -std=gnu++17 -Os -Wall sketch.cpp harp_impl.o -o story -lm -pthread 2>&1 && ./story 2>&1)" "$last"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
