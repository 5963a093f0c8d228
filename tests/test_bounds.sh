#!/bin/sh
# harp-convert under ceilings of memory and time: sh tests/test_bounds.sh BUILD_FOLDER [CONVERTER]
#
# Small files that say that they are large, many files that are one, texts that slow methods choke on: each is made here
# and converted with so much memory and processor time as SECURITY.md says is enough. What is refused must be refused in
# the right words, not for want of memory, and leave no file. Ends with "N passed, N failed".
B=${1:?build folder}
C=${2:-$B/harp-convert}
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
passed=0 failed=0
export LC_ALL=C

report() { # report NAME STATUS: status 0 passes
    if [ "$2" = 0 ]; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "FAILED  $1"; sed 's/^/        /' "$T/said"
    fi
}

# limited MIB SECONDS ARGUMENT...: runs the converter with so much memory and time; what it says goes to $T/said
limited() {
    mib=$1 seconds=$2
    shift 2
    rm -f "$T/o.harp"
    (ulimit -v $((mib * 1024)) && ulimit -t "$seconds" && exec "$C" "$@") > "$T/said" 2>&1
}

# refused NAME WORDS MIB SECONDS ARGUMENT...: with status 1 and these words, and nothing is left
refused() {
    name=$1 words=$2
    shift 2
    limited "$@"
    [ $? = 1 ] && grep -q -e "$words" "$T/said" && [ -z "$(ls "$T" | grep '^o\.harp')" ]
    report "$name" $?
}

# taken NAME MIB SECONDS ARGUMENT...: converted, and whole by --check
taken() {
    name=$1
    shift
    limited "$@" && "$C" --check "$T/o.harp" > "$T/said" 2>&1
    report "$name" $?
}

# ---- bytes ----

le() { # le NUMBER BYTES: little-endian
    v=$1 i=$2
    while [ "$i" -gt 0 ]; do
        printf "\\$(printf %03o $((v % 256)))"
        v=$((v / 256)) i=$((i - 1))
    done
}

string() { # as in GGUF files
    le ${#1} 8
    printf %s "$1"
}

hole() { # hole FILE BYTES: appends bytes that take no room on the disk
    dd if=/dev/null of="$1" bs=1 seek=$(($(wc -c < "$1") + $2)) 2> /dev/null
}

repeat() { # repeat COUNT TEXT
    yes "$2" | head -n "$1" | tr -d '\n'
}

# ---- GGUF: a norm of the wrong size, for which there must be no memory before somebody compares it ----

number() { # number KEY VALUE
    string "$1"
    le 4 4
    le "$2" 4
}

text() { # text KEY VALUE
    string "$1"
    le 8 4
    string "$2"
}

gemma() { # gemma FILE ELEMENTS: a model of 32 with a final norm of so many
    {
        printf GGUF
        le 3 4
        le 2 8
        le 10 8
        text general.architecture gemma
        number gemma.embedding_length 32
        number gemma.block_count 1
        number gemma.attention.head_count 1
        number gemma.attention.head_count_kv 1
        number gemma.feed_forward_length 32
        number gemma.context_length 64
        number gemma.attention.key_length 32
        number gemma.attention.value_length 32
        string gemma.attention.layer_norm_rms_epsilon
        le 6 4
        le $((0x358637BD)) 4
        string token_embd.weight
        le 2 4
        le 32 8
        le 4 8
        le 0 4
        le 0 8
        string output_norm.weight
        le 1 4
        le "$2" 8
        le 0 4
        le 512 8
    } > "$1"
    hole "$1" $((544 + 4 * $2))
}

gemma "$T/norm.gguf" $((1 << 29))
refused "a norm of 2 GiB in a hole" "demand \[1\]\[32\]" 64 2 "$T/norm.gguf" "$T/o.harp"
gemma "$T/norm.gguf" $(((1 << 32) + 16))
refused "a norm whose size is 16 in 32 bits" "demand \[1\]\[32\]" 64 2 "$T/norm.gguf" "$T/o.harp"

# ---- GGUF: heads that are holes ----

part() { # part NUMBER COUNT BYTES: its head has an array of so many bytes
    file=$(printf "$T/m-%05d-of-%05d.gguf" "$1" "$2")
    {
        printf GGUF
        le 3 4
        le 0 8
        le 4 8
        string split.no
        le 2 4
        le $(($1 - 1)) 2
        string split.count
        le 2 4
        le "$2" 2
        text general.architecture llama
        string x
        le 9 4
        le 0 4
        le "$3" 8
    } > "$file"
    hole "$file" $(($3 + 64))
}

for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do part $i 16 $(((1 << 27) - (1 << 16))); done
refused "a part whose head is a hole of 128 MiB" "64 MiB, in all parts" 128 2 "$T/m-00001-of-00016.gguf" "$T/o.harp"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do part $i 16 $(((1 << 25) - (1 << 16))); done
refused "16 parts whose heads are holes of 32 MiB" "64 MiB, in all parts" 160 2 "$T/m-00001-of-00016.gguf" "$T/o.harp"
rm "$T"/m-*

{
    printf GGUF
    le 3 4
    le 0 8
    le 2 8
    text general.architecture llama
    string x
    le 8 4
    le $(((1 << 32) + 3)) 8
    printf abc
} > "$T/long.gguf"
hole "$T/long.gguf" 4096
refused "a length of 3 in 32 bits" "ends within its head" 64 2 "$T/long.gguf" "$T/o.harp"

# ---- safetensors: one header many times, and an index that names many files many times ----

mkdir "$T/meta" "$T/index"
cp tests/fixtures/source/llama_gqa/config.json "$T/meta"
cp tests/fixtures/source/llama_gqa/config.json "$T/index"
{
    le 33554432 8
    printf '{"__metadata__":['
    yes 0, | head -n $(((1 << 24) - 10)) | tr -d '\n'
    printf '0]}'
} > "$T/meta/s0"
printf '{"weight_map":{"a":"s0"' > "$T/meta/model.safetensors.index.json"
for i in 1 2 3 4 5 6 7; do
    ln "$T/meta/s0" "$T/meta/s$i"
    printf ',"k%d":"s%d"' $i $i >> "$T/meta/model.safetensors.index.json"
done
printf '}}' >> "$T/meta/model.safetensors.index.json"
refused "a header of 32 MiB in eight files" "all files together" 560 8 "$T/meta" "$T/o.harp"

awk 'BEGIN {
    for (i = 0; i < 900; i++) printf "%s\"k%d\":\"f%04d\"", i ? "," : "{\"weight_map\":{", i, i
    for (; i < 600000; i++) printf ",\"k%d\":\"f0899\"", i
    print "}}"
}' > "$T/index/model.safetensors.index.json"
i=0
while [ $i -lt 900 ]; do
    printf '\002\000\000\000\000\000\000\000{}' > "$T/index/f$(printf %04d $i)"
    i=$((i + 1))
done
refused "an index of 600,000 names in 900 files" "tensor k0 is not in f0000" 400 6 "$T/index" "$T/o.harp"
rm -r "$T/meta" "$T/index"

# ---- patterns ----

letters() { # a vocabulary of the bytes that print
    awk 'BEGIN {
        for (i = 33; i < 127; i++) printf "%s\"%s%c\":%d", n ? "," : "", i == 34 || i == 92 ? "\\" : "", i, n++
    }'
}

pattern() { # pattern FILE REGEX: a tokenizer.json
    printf '{"version":"1.0","normalizer":null,"pre_tokenizer":{"type":"Sequence","pretokenizers":['
    printf '{"type":"Split","pattern":'
    printf '{"Regex":"%s"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,' "$1"
    printf '"use_regex":false}]},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{'
    letters
    printf '},"merges":[]}}'
}

pattern "$(repeat 20000 'a|')a" > "$T/t.json"
refused "a pattern of 40 KB" "at most 16384 are supported" 64 2 "$T/t.json" "$T/o.harp" --vocab-only
pattern "$(repeat 1024 'a|')a" > "$T/t.json"
refused "more alternatives than a file can hold" "more parts than the 1024" 64 2 "$T/t.json" "$T/o.harp" --vocab-only
pattern "$(repeat 1023 'a|')a" > "$T/t.json"
taken "as many alternatives as a file can hold" 256 2 "$T/t.json" "$T/o.harp" --vocab-only
pattern "[$(repeat 1000 '\\x{0}-\\x{10FFFF}')]" > "$T/t.json"
taken "all characters, a thousand times" 256 2 "$T/t.json" "$T/o.harp" --vocab-only
pattern "[$(repeat 3000 '\\p{L}')]" > "$T/t.json"
taken "all letters, three thousand times" 256 2 "$T/t.json" "$T/o.harp" --vocab-only

# ---- pieces that are made of each other ----

pieces() { # pieces COUNT LEAD...: lead, lead a, lead aa, ... of each lead, as a SentencePiece model
    n=$1
    shift
    awk -v n="$n" -v leads="$*" 'function number(x) {
        for (; x > 127; x = int(x / 128)) printf "%c", x % 128 + 128
        printf "%c", x
    }
    function piece(text, type) { # type 0: normal
        printf "\n"; number(length(text) + (length(text) > 127 ? 3 : 2) + (type ? 2 : 0))
        printf "\n"; number(length(text)); printf "%s", text
        if (type) printf "%c%c", 24, type
    }
    BEGIN {
        piece("<unk>", 2); piece("<s>", 3); piece("</s>", 3)
        for (i = 0; i < 256; i++) piece(sprintf("<0x%02X>", i), 6)
        count = split(leads, lead, " ")
        for (k = 1; k <= count; k++)
            for (text = lead[k]; length(text) <= n; text = text "a") piece(text)
    }'
    printf '\022\005\030\002\230\002\001\032\002\040\000'
}

pieces 2000 a b c d > "$T/t.model"
refused "pieces that are made of each other in all ways" "in more than 64 ways" 128 3 "$T/t.model" "$T/o.harp" \
    --vocab-only
pieces 4000 b > "$T/t.model"
taken "pieces that begin with each other" 160 3 "$T/t.model" "$T/o.harp" --vocab-only

echo "$passed passed, $failed failed"
[ $failed = 0 ]
