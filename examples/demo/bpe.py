"""Byte-level BPE: training, encoding, and the Hugging Face tokenizer files."""
import json, re, collections
END = "<|endoftext|>"
WORD = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")

def byte_letters():
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}
LETTER = byte_letters()

def letters(word): return [LETTER[b] for b in word.encode()]

def join(parts, a, b):
    out, i = [], 0
    while i < len(parts):
        both = i + 1 < len(parts) and parts[i] == a and parts[i + 1] == b
        out.append(a + b if both else parts[i]); i += 2 if both else 1
    return out

def train(text, size):
    words = [(letters(w), n) for w, n in collections.Counter(WORD.findall(text)).items()]
    merges = []
    while 257 + len(merges) < size:
        pairs = collections.Counter()
        for w, n in words:
            for p in zip(w, w[1:]): pairs[p] += n
        if not pairs: break  # a tiny text runs out of pairs
        a, b = max(pairs, key=lambda p: (pairs[p], p)); merges.append((a, b))
        words = [(join(w, a, b) if a in w else w, n) for w, n in words]
    return merges

class Tokenizer:
    def __init__(self, merges):
        self.merges, self.rank, self.seen = merges, {m: i for i, m in enumerate(merges)}, {}
        self.vocab = {t: i for i, t in enumerate([END] + list(LETTER.values()) + [a + b for a, b in merges])}
    def word(self, w):
        if w not in self.seen:
            p = letters(w)
            while len(p) > 1:
                best = min(zip(p, p[1:]), key=lambda x: self.rank.get(x, 1 << 30))
                if best not in self.rank: break
                p = join(p, *best)
            self.seen[w] = [self.vocab[t] for t in p]
        return self.seen[w]
    def encode(self, text): return [t for w in WORD.findall(text) for t in self.word(w)]
    def save(self, folder):
        level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
        special = dict(id=0, content=END, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
        begin = dict(SpecialToken=dict(id=END, type_id=0))
        first, second = (dict(Sequence=dict(id=name, type_id=0)) for name in "AB")
        begins = dict(type="TemplateProcessing", single=[begin, first], pair=[begin, first, begin, second],
                      special_tokens={END: dict(id=END, ids=[0], tokens=[END])})
        model = dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                     fuse_unk=False, byte_fallback=False, vocab=self.vocab, merges=[f"{a} {b}" for a, b in self.merges])
        whole = dict(version="1.0", truncation=None, padding=None, added_tokens=[special], normalizer=None,
                     pre_tokenizer=level, post_processor=begins, decoder=level, model=model)
        json.dump(whole, open(folder + "/tokenizer.json", "w"))
        chat = ("{% for message in messages %}{% if message['role'] == 'user' %}Question: {{ message['content'] }}\n"
                "{% else %}Answer: {{ message['content'] }}\n\n{% endif %}{% endfor %}"
                "{% if add_generation_prompt %}Answer:{% endif %}")
        json.dump(dict(bos_token=END, eos_token=END, add_bos_token=True, tokenizer_class="PreTrainedTokenizerFast",
                       model_max_length=512, chat_template=chat), open(folder + "/tokenizer_config.json", "w"))
