#!/bin/sh
# Tests on files that are not in the repository: sh tests/real_files.sh BUILD_FOLDER [all]
# They lie in ../shared; where that is absent, as in a stranger's clone, everything here is skipped.
B=$1
all=$2
S=../shared
F=tests/fixtures
passed=0
failed=0
W=$B/real
rm -rf $W
mkdir -p $W

check() { # check NAME CONDITION...
    name=$1
    shift
    if "$@" > $W/said 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$name"
        tail -3 $W/said
    fi
}

finish() {
    printf '%d passed, %d failed\n' $passed $failed
    exit $failed
}

[ -d $S/data ] || { echo "skipped: real files, $S is not here"; finish; }

# The fixtures hold some of the goldens; here are all: every length, both ways of drawing masks
for m in $(ls $F/*/model.harp | sed "s|^$F/||; s|/model.harp$||"); do
    $B/harp-convert $S/conformance/$m $W/$m.harp --quiet
    check "$m from its folder: the fixture" cmp $W/$m.harp $F/$m/model.harp
    check "$m: all goldens" $B/test_conformance $W/$m.harp $S/conformance/$m/golden
done

# The same weights in other tensors, in other files, or under other names
for form in "shards gpt2" "shards gpt_neox" "shards gemma2" "bare gpt2" "split phi3_longrope 64 64" \
    "split phi4mini 128 64" \
    "fused qwen2_bias" "fused qwen3" "fused gemma3_text" "fused olmo2" "fused stablelm"; do
    set -- $form
    mkdir -p $W/$1/$2
    $B/variants $1 $S/conformance/$2 $W/$1/$2 $3 $4
    $B/harp-convert $W/$1/$2 $W/$1/$2.harp --quiet
    check "$2 $1: the same bytes" cmp $W/$1/$2.harp $F/$2/model.harp
done

# as_gguf FOLDER EPSILON ARCHITECTURE halves|pairs KEY=VALUE...: the model of the folder by llama.cpp's names
as_gguf() {
    folder=$1 eps=$2
    shift 2
    $B/as_gguf $folder $W/model.gguf "$@" attention.layer_norm_rms_epsilon=f$eps \
        && $B/harp-convert $W/model.gguf $W/gguf.harp --quiet
}
golden_gguf() { # golden_gguf MODEL ...
    as_gguf $S/conformance/"$@" && $B/test_conformance $W/gguf.harp $S/conformance/$1/golden
}
same_logits() { # same_logits A.harp B.harp
    for m in "$@"; do $B/harp score -m $m --tokens 5,9,2,77,31,8,250,12 --logits $m.logits || return 1; done
    cmp $1.logits $2.logits
}
yarn() { # yarn FACTOR ORIGINAL_CONTEXT
    echo rope.scaling.type=syarn rope.scaling.factor=f$1 rope.scaling.original_context_length=u$2
}
GPT_OSS="attention.sliding_window=u8 expert_count=u4 expert_used_count=u2 expert_feed_forward_length=u64"
while read -r m options; do
    check "$m as a GGUF file: all goldens" golden_gguf $m $options
done << EOF
granite 1e-5 granite pairs attention.scale=f0.0625 embedding_scale=f12 residual_scale=f0.22 logit_scale=f8
ernie4_5 1e-5 ernie4_5 pairs rope.freq_base=f500000
olmo3 1e-6 olmo2 halves rope.freq_base=f500000 $(yarn 4 32) rope.scaling.attn_factor=f1.138629436 \
    attention.sliding_window=u16 attention.sliding_window_pattern=b1110
exaone4 1e-5 exaone4 halves llama3=1000000 rope.freq_base=f1000000 attention.sliding_window=u16 \
    attention.sliding_window_pattern=b11101
ministral3 1e-5 mistral3 pairs rope.freq_base=f1000000 $(yarn 8 16) rope.scaling.yarn_beta_fast=f32 \
    rope.scaling.yarn_beta_slow=f1 rope.scaling.yarn_log_multiplier=f1 attention.temperature_scale=f0.1
mixtral 1e-5 llama pairs rope.freq_base=f1000000 expert_count=u4 expert_used_count=u2
olmoe 1e-5 olmoe halves expert_count=u8 expert_used_count=u2
lfm2 1e-5 lfm2 halves rope.freq_base=f1000000
granitemoe 1e-6 granitemoe pairs attention.scale=f0.0625 embedding_scale=f12 residual_scale=f0.22 logit_scale=f6 \
    expert_count=u8 expert_used_count=u2
gpt_oss 1e-5 gpt-oss halves rope.freq_base=f150000 $(yarn 4 32) $GPT_OSS
EOF

# What has no goldens: SmolLM3's GGUF files say nothing of layers without rope; MiniCPM is Granite in other words
with_config() { # with_config MODEL NAME SED...: the model's folder with another config.json
    mkdir -p $W/$2
    cp $S/conformance/$1/model.safetensors $S/conformance/$1/generation_config.json $W/$2
    sed "$3" $S/conformance/$1/config.json > $W/$2/config.json
    $B/harp-convert $W/$2 $W/$2.harp --quiet
}
olmo3_kinds() { # as transformers 5 writes it: rope for each kind of layer
    with_config olmo3 kinds/olmo3 '/"rope_theta"/d; s/"rope_type": "yarn"/&}/
        s/"rope_scaling": {/"rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 5e5},\
            "full_attention": {"rope_theta": 5e5,/' && cmp $W/kinds/olmo3.harp $F/olmo3/model.harp
}
smollm3_gguf() {
    with_config smollm3 smollm3_of_4 's/"no_rope_layer_interval": 3/"no_rope_layer_interval": 4/
        /"no_rope_layers"/,/]/d' && as_gguf $W/smollm3_of_4 1e-6 smollm3 pairs rope.freq_base=f5000000 \
        && same_logits $W/smollm3_of_4.harp $W/gguf.harp
}
minicpm() {
    with_config granite granite_scaled 's/\(attention_multiplier": \).*/\10.25,/' \
        && with_config granite minicpm '/attention_multiplier/d; s/granite/minicpm/; s/Granite/MiniCPM/
        s/embedding_multiplier/scale_emb/; s/residual_multiplier": .*/scale_depth": 0.44,/
        s/logits_scaling": .*/dim_model_base": 8,/' && same_logits $W/granite_scaled.harp $W/minicpm.harp \
        && as_gguf $W/minicpm 1e-5 minicpm pairs embedding_scale=f12 residual_scale=f0.22 logit_scale=f8 \
        && same_logits $W/minicpm.harp $W/gguf.harp
}
# gpt-oss as it is published: experts in MXFP4. As floats they are what the definition of the type says; as nibbles they
# are the same as in a GGUF file, and give the logits that the same integers give as int8.
mxfp4() {
    for form in mxfp4 widened; do
        mkdir -p $W/$form/gpt_oss && $B/variants $form $S/conformance/gpt_oss $W/$form/gpt_oss \
            && $B/harp-convert $W/$form/gpt_oss $W/$form.harp --quiet --weights f32 || return 1
    done
    cmp $W/mxfp4.harp $W/widened.harp && $B/harp-convert $W/mxfp4/gpt_oss $W/four.harp --quiet \
        && $B/harp-convert $W/mxfp4/gpt_oss $W/eight.harp --quiet --bits 8 && same_logits $W/four.harp $W/eight.harp \
        && as_gguf $W/mxfp4/gpt_oss 1e-5 gpt-oss halves rope.freq_base=f150000 $(yarn 4 32) $GPT_OSS \
        && same_logits $W/four.harp $W/gguf.harp \
        && $B/harp-convert --check $W/gguf.harp | grep '196608 of them in 4 bits'
}
check "gpt-oss in MXFP4, a folder and a GGUF file" mxfp4
# A GGUF file does not say in which type a model computes; of norms with few bits bfloat16 is assumed.
gemma4_gguf() {
    with_config gemma4_text gemma4_bf16 's/"dtype": "float32"/"dtype": "bfloat16"/' && as_gguf $W/gemma4_bf16 1e-6 \
        gemma4 halves llama3=1000000 rope.freq_base=f1000000 attention.sliding_window=u8 \
        attention.sliding_window_pattern=b110110 final_logit_softcapping=f50 \
        && same_logits $W/gemma4_bf16.harp $W/gguf.harp
}
check "gemma4 as a GGUF file" gemma4_gguf
check "olmo3, rope for each kind of layer" olmo3_kinds
check "smollm3 as a GGUF file" smollm3_gguf
check "minicpm, a folder and a GGUF file" minicpm

# stories260K: two versions of llama2.c's format hold the same weights
M=$S/data/models
for v in "" _v1; do
    cp $M/stories260K$v.bin $W/stories.bin
    check "stories260K$v" $B/harp-convert $W/stories.bin $W/stories$v.harp --tokenizer $M/tok512.bin
done
check "stories260K: version 1 is version 0" cmp $W/stories.harp $W/stories_v1.harp
# llama2.c's own greedy text, with float weights byte for byte (int8 weights turn one near tie, 0.04 logits apart)
check "stories260K, float weights" $B/harp-convert $W/stories.bin $W/stories_f32.harp --tokenizer $M/tok512.bin \
    --weights f32
$B/harp run -m $W/stories_f32.harp -p "" -n 200 --temp 0 --no-harp --act f32 --cache f32 > $W/text
check "stories260K tells what llama2.c tells" cmp $W/text $M/expected/stories260K_greedy200.txt
check "stories260K, GGUF, float weights" $B/harp-convert $M/stories260Ktok512.gguf $W/stories_gguf.harp --weights f32
ids=$($B/harp tokenize -m $W/stories_f32.harp \
    -p "Once upon a time, there was a little girl named Lily. She loved to play outside." | tr -d '[] ')
for m in f32 gguf; do
    $B/harp score -m $W/stories_$m.harp --tokens $ids --act f32 --cache f32 --logits $W/$m.logits > /dev/null
done
check "stories260K: GGUF and llama2.c give the same logits" cmp $W/f32.logits $W/gguf.logits
check "a GGUF with weights at random" $B/harp-convert $M/llama-2-tiny-random.gguf $W/tiny.harp
check "stories3M, int8 by itself" $B/harp-convert $M/stories3M-q80.bin $W/stories3M.harp --tokenizer $M/tok4096.bin
# What int8 costs in perplexity: weights against floats, activations against floats; windows of 200 tokens
perplexity() { # perplexity MODEL TEXT OPTIONS...
    model=$1 text=$2
    shift 2
    $B/harp tokenize -m $model --file $text | tr -d '[] ' | tr , '\n' \
        | awk 'NR % 200 == 1 && NR > 1 {print ""} {printf "%s%s", (NR % 200 == 1 ? "" : ","), $1} END {print ""}' \
            > $W/windows
    while read -r ids; do $B/harp score -m $model --tokens "$ids" "$@"; done < $W/windows \
        | sed -n 's/.*"logprob":\(-[0-9.e+-]*\).*/\1/p' | awk '{s -= $1} END {printf "%.4f", exp(s / NR)}'
}
within() { awk "BEGIN {exit !($1 > 1 && $1 < 1.005 * $2 && $1 > 0.995 * $2)}"; } # half a percent
check "stories3M, float weights" $B/harp-convert $M/stories3M-q80.bin $W/stories3M_f32.harp --tokenizer $M/tok4096.bin \
    --weights f32
check "stories3M" $B/harp-convert $M/stories3M-q80.bin $W/stories3M.harp --tokenizer $M/tok4096.bin
head -c 6000 $S/data/corpora/tinystories_train.txt > $W/tinystories.txt
head -c 4000 examples/demo/heldout.txt > $W/heldout.txt
for m in stories stories3M; do
    for t in tinystories heldout; do
        a=$(perplexity $W/${m}_f32.harp $W/$t.txt --act f32 --cache f32)
        b=$(perplexity $W/$m.harp $W/$t.txt --act f32 --cache f32)
        c=$(perplexity $W/$m.harp $W/$t.txt)
        echo "note perplexity of $m on $t: $a with floats, $b with int8 weights, $c with int8 activations, too"
        check "$m on $t: int8 weights cost less than 0.5 %" within $b $a
        check "$m on $t: int8 activations cost less than 0.5 %" within $c $b
    done
done
check "bitllama is refused" sh -c "! $B/harp-convert $M/bitllama_1M.bin $W/bit.harp"
check "in words" sh -c "$B/harp-convert $M/bitllama_1M.bin $W/bit.harp 2>&1 | grep -q 'it has 558048'"

# Tokenizers: llama.cpp's vectors, corpora, random bytes, long runs
T=$S/data/tokenizers
set -- llama-spm $T/llama2c/tokenizer.model gpt-2 $T/gpt2/tokenizer.json
V=$T/llama.cpp/ggml-vocab
set -- "$@" phi-3 $V-phi-3.gguf
texts=2000
[ "$all" != all ] || texts=${STRINGS:-20000}
mkdir -p $W/gpt2 && cp $T/gpt2/gpt2_vocab.json $W/gpt2/vocab.json && cp $T/gpt2/gpt2_merges.txt $W/gpt2/merges.txt
# Llama 2's vocabulary in four forms, GPT-2's in three, those of Phi-3 and of the stories in two
[ "$all" != all ] || set -- "$@" llama-spm $V-llama-spm.gguf llama-spm $T/llama2c/tokenizer.bin llama-spm $T/tinyllama \
    gpt-2 $W/gpt2 gpt-2 $V-gpt-2.gguf phi-3 $T/phi-3-mini phi-3/3.5 $T/phi-3/tokenizer.json \
    tok512 $M/tok512.bin tok512 $M/stories260Ktok512.gguf llama-bpe $T/llama3/tokenizer.model smollm2 $T/smollm2 \
    mistral $T/mistral-v0.3 minimind $T/minimind deepseek-llm $V-deepseek-llm.gguf qwen2 $T/qwen2.5 \
    deepseek-r1-qwen $T/qwen2.5
vocabularies= i=0
while [ $# -gt 1 ]; do
    i=$((i + 1)) # several forms of one tokenizer
    check "tokenizer $1" $B/harp-convert $2 $W/$i.harp --vocab-only
    vocabularies="$vocabularies $1=$W/$i.harp"
    shift 2
done
# a published file whose no-break spaces became spaces: three of its merges cannot be read, so it is refused, not
# guessed at
check "tokenizer llama2 is refused" sh -c "! $B/harp-convert $T/llama2 $W/llama2.harp --vocab-only"
check "in words" sh -c "$B/harp-convert $T/llama2 $W/llama2.harp --vocab-only 2>&1 | grep -q 'merge 18917'"
out=$($B/test_tokenizer -n $texts $vocabularies)
printf '%s\n' "$out" | grep -E '^(FAILED|skipped)'
line=$(printf '%s\n' "$out" | tail -1)
passed=$((passed + $(printf '%s' "$line" | sed -n 's/^\([0-9]*\) passed.*/\1/p')))
failed=$((failed + $(printf '%s' "$line" | sed -n 's/.* \([0-9]*\) failed.*/\1/p')))
finish
