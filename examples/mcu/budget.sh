#!/bin/sh
# What the image takes: sh budget.sh BUILD_FOLDER
size=$(arm-none-eabi-size -A "$1/image.elf")
section() { printf '%s\n' "$size" | awk -v s="$1" '$1 == s { n = $2 } END { print n + 0 }'; }
library=$(arm-none-eabi-size "$1/harp_impl.o" | awk 'NR == 2 { print $1 }')
code=$(($(section .text) + $(section .ARM.exidx)))
ram=$(($(section .stack) + $(section .data) + $(section .bss)))
printf 'flash: code and constants %d bytes (of them harp, before unused parts are dropped, %d), model %d bytes\n' \
    $code $library $(section .model)
printf 'RAM:   %d bytes (stack %d, data %d)\n' $ram $(section .stack) $(($(section .data) + $(section .bss)))
