"""train.py OUT stories, or train.py OUT sums: trains a model and saves a Hugging Face folder. Started again, it goes on
where it was. PLANS says what each model is and how it is trained.

In half of the rows a fifth of the embeddings' elements is zero, as HARP's second pass will show them. The learning rate
is whole for `full` steps and falls to zero in a straight line. A batch is whole documents of similar length. Products
are of bfloat16, summed as float32."""
import json, os, re, struct, sys, time
from types import SimpleNamespace
import numpy as np, torch, torch.nn.functional as F
import bpe, corpus, sums
ROWS = 2560  # tokens in a batch
GROWS = {0: 1, 12: 4, 62: 6, 74: sums.WIDE}  # sums: from which round of 8,000 on their numbers are how wide
EMBED_RATE, MATRIX_RATE = 4e-3, .02  # of the embeddings and norms (AdamW), of the matrices (Muon)
# asked: what a token of a question weighs beside one of an answer.
PLANS = {"stories": SimpleNamespace(V=1280, D=160, L=4, H=5, HD=32, FF=384, full=4000, end=8000, asked=1.),
         "sums": SimpleNamespace(V=768, D=192, L=4, H=6, HD=32, FF=512, full=7000, end=21500, asked=.1)}
torch.set_num_threads(1)

def init(s):
    g = torch.Generator().manual_seed(1)
    w = {"model.embed_tokens.weight": torch.randn(s.V, s.D, generator=g) * .05, "model.norm.weight": torch.ones(s.D)}
    wide = s.H * s.HD
    shapes = {"self_attn.q_proj": (wide, s.D), "self_attn.k_proj": (wide, s.D), "self_attn.v_proj": (wide, s.D),
              "self_attn.o_proj": (s.D, wide), "mlp.gate_proj": (s.FF, s.D), "mlp.up_proj": (s.FF, s.D),
              "mlp.down_proj": (s.D, s.FF)}
    for i in range(s.L):
        p = f"model.layers.{i}."
        for n, shape in shapes.items(): w[p + n + ".weight"] = torch.randn(*shape, generator=g) * shape[1] ** -.5 * .7
        for n in ("input_layernorm", "post_attention_layernorm"): w[p + n + ".weight"] = torch.ones(s.D)
    return {k: v.requires_grad_() for k, v in w.items()}

class Linear(torch.autograd.Function):
    @staticmethod
    def forward(c, x, w):
        x, w = x.bfloat16(), w.bfloat16()
        c.save_for_backward(x, w)
        return F.linear(x, w).float()
    @staticmethod
    def backward(c, g):
        (x, w), g = c.saved_tensors, g.bfloat16()
        return F.linear(g, w.t().contiguous()).float(), (g.flatten(0, -2).t().contiguous() @ x.flatten(0, -2)).float()

class Products(torch.autograd.Function):
    @staticmethod
    def forward(c, a, b):
        a, b = a.bfloat16(), b.bfloat16()
        c.save_for_backward(a, b)
        return torch.bmm(a, b).float()
    @staticmethod
    def backward(c, g):
        (a, b), g = c.saved_tensors, g.bfloat16()
        return torch.bmm(g, b.transpose(1, 2)).float(), torch.bmm(a.transpose(1, 2), g).float()

class Norm(torch.autograd.Function):
    @staticmethod
    def forward(c, x, w):
        r = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        y = x * r
        c.save_for_backward(y, r, w)
        return y * w
    @staticmethod
    def backward(c, g):
        y, r, w = c.saved_tensors
        gy = g * w
        return (gy - y * (gy * y).mean(-1, keepdim=True)) * r, (g * y).flatten(0, -2).sum(0)

def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin

def forward(w, ids, s, keep=None):
    B, n = ids.shape
    linear, products, norm = Linear.apply, Products.apply, Norm.apply
    x = F.embedding(ids, w["model.embed_tokens.weight"])
    if keep is not None: x = x * keep  # no rescale
    ang = torch.arange(n)[:, None] * 10000. ** (-torch.arange(0, s.HD, 2) / s.HD)
    ang = torch.cat((ang, ang), -1); cos, sin = ang.cos(), ang.sin()
    bar = torch.full((n, n), -1e9).triu(1)
    for i in range(s.L):
        p = lambda *names: torch.cat([w[f"model.layers.{i}.{n}.weight"] for n in names])
        h = norm(x, p("input_layernorm"))
        q, k, v = (linear(h, p("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"))
                   .view(B, n, 3, s.H, s.HD).permute(2, 0, 3, 1, 4).flatten(1, 2))
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        a = products((products(q * s.HD ** -.5, k.transpose(1, 2)) + bar).softmax(-1), v)
        x = x + linear(a.view(B, s.H, n, s.HD).transpose(1, 2).reshape(B, n, -1), p("self_attn.o_proj"))
        gate, up = linear(norm(x, p("post_attention_layernorm")), p("mlp.gate_proj", "mlp.up_proj")).chunk(2, -1)
        x = x + linear(F.silu(gate) * up, p("mlp.down_proj"))
    return linear(norm(x, w["model.norm.weight"]), w["model.embed_tokens.weight"])

class Muon:
    """Momentum, made nearly orthogonal before each step [Jordan et al. 2024, kellerjordan.github.io/posts/muon]."""
    def __init__(self, matrices): self.w, self.m = matrices, [torch.zeros_like(p) for p in matrices]
    def step(self, rate):
        shapes = {}
        for p, m in zip(self.w, self.m):
            m.mul_(.95).add_(p.grad)
            shapes.setdefault(tuple(p.shape), []).append((p, p.grad + .95 * m))
        for (rows, columns), pairs in shapes.items():
            x = torch.stack([g for _, g in pairs])
            if rows > columns: x = x.transpose(1, 2)
            x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
            for _ in range(5):
                a = x @ x.transpose(1, 2)
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            if rows > columns: x = x.transpose(1, 2)
            for (p, _), u in zip(pairs, x.float()):
                p.data.mul_(1 - .01 * rate).sub_(u, alpha=rate * max(1, rows / columns) ** .5)

def batches(texts):
    """An endless row of batches, documents of similar length together. texts: returns the documents of round 0, 1 ..."""
    r, turns = np.random.RandomState(3), 0
    while True:
        docs, cut = texts(turns), []
        order, turns = r.permutation(len(docs)), turns + 1
        for start in range(0, len(docs), 2000):
            pool = sorted(order[start:start + 2000], key=lambda i: len(docs[i][0]))
            while pool:
                n = max(1, ROWS // len(docs[pool[-1]][0])); cut.append(pool[-n:]); pool = pool[:-n]
        for i in r.permutation(len(cut)): yield [docs[j] for j in cut[i]]

def encode(tok, text, mark=None):
    """A document: its tokens, and how many of them only ask."""
    at = text.index(mark) if mark else 0
    asked = tok.encode(text[:at])
    return asked + tok.encode(text[at:]), len(asked)

def pad(docs, asked):
    """Inputs begin with the end token, targets end with it; what only fills up weighs nothing."""
    n = max(len(d) for d, _ in docs) + 1
    ids, want = torch.zeros(2, len(docs), n, dtype=torch.long)
    weight = torch.zeros(len(docs), n)
    for i, (d, questions) in enumerate(docs):
        ids[i, 1:len(d) + 1] = want[i, :len(d)] = torch.tensor(d, dtype=torch.long)
        weight[i, :len(d) + 1] = 1; weight[i, :questions] = asked
    return ids, want, weight

def save(w, tok, s, out):
    os.makedirs(out, exist_ok=True); tok.save(out)
    head, blob = {}, b""
    for k in sorted(w):
        data = w[k].detach().numpy().astype("<f4").tobytes()
        head[k] = dict(dtype="F32", shape=list(w[k].shape), data_offsets=[len(blob), len(blob) + len(data)])
        blob += data
    text = json.dumps(head).encode(); text += b" " * (-len(text) % 8)
    open(out + "/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + blob)
    json.dump(dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=s.V, hidden_size=s.D,
        intermediate_size=s.FF, num_hidden_layers=s.L, num_attention_heads=s.H, num_key_value_heads=s.H, head_dim=s.HD,
        hidden_act="silu", rms_norm_eps=1e-5, rope_theta=10000.0, rope_scaling=None, max_position_embeddings=512,
        attention_bias=False, mlp_bias=False, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
        torch_dtype="float32", initializer_range=0.02, use_cache=True), open(out + "/config.json", "w"))
    json.dump(dict(bos_token_id=0, eos_token_id=0), open(out + "/generation_config.json", "w"))

def loss_of(w, docs, s, keep=None):
    x, want, weight = pad(docs, s.asked)
    if keep is not None:  # half of the rows whole, a fifth of the others' elements dropped
        whole = torch.rand(len(x), 1, 1, generator=keep) < .5
        keep = ((torch.rand(*x.shape, s.D, generator=keep) > .2) | whole).float()
    each = F.cross_entropy(forward(w, x, s, keep).flatten(0, 1), want.flatten(), reduction="none")
    return (each * weight.flatten()).sum() / weight.sum()

def stories(s):
    """Returns the tokenizer, the documents of a round of training, and held-out ones."""
    docs, held = corpus.build(7, 100000)
    tok = bpe.Tokenizer(bpe.train("\n".join(docs[:8000]), s.V))
    docs = [encode(tok, d) for d in docs]
    print(len(docs), "documents,", sum(len(d) for d, _ in docs), "tokens")
    return tok, lambda turn: docs, [encode(tok, d) for d in held[:400]]

def problems(s):
    """The same for the sums. No document comes twice: each round makes new ones. One digit is one token."""
    text = "\n".join(sums.build(1, 8000, 1))
    tok = bpe.Tokenizer(bpe.train(re.sub(r"(\d)\d+", r"\1", text), s.V))
    held = [sums.document(q["question"], q["answer"]) for q in sums.held(11, 4000)[:400]]
    def fresh(turn):
        width = max(width for start, width in GROWS.items() if start <= turn)
        return [encode(tok, d, "Answer:") for d in sums.build(100 + turn, 8000, width)]
    return tok, fresh, [encode(tok, d, "Answer:") for d in held]

def main():
    out, name = sys.argv[1], sys.argv[2]
    s = PLANS[name]
    tok, texts, held = stories(s) if name == "stories" else problems(s)
    feed = batches(texts)
    w = init(s)
    embed = [p for p in w.values() if p.dim() == 1 or len(p) == s.V]
    adam = torch.optim.AdamW(embed, betas=(.9, .95), weight_decay=0.)
    muon = Muon([p for p in w.values() if p.dim() == 2 and len(p) != s.V])
    drop, step, seconds, tokens, state = torch.Generator().manual_seed(3), 0, 0., 0, out + "/state.pt"
    if os.path.exists(state):
        was = torch.load(state)
        step, seconds, tokens, muon.m = was["step"], was["seconds"], was["tokens"], was["muon"]
        drop.set_state(was["drop"]); adam.load_state_dict(was["adam"])
        for k, v in w.items(): v.data.copy_(was["w"][k])
    for _ in range(step): next(feed)
    print(sum(p.numel() for p in w.values()), "parameters", flush=True)
    start = time.time() - seconds
    while step < s.end:
        rate = min((step + 1) / 100, 1, (s.end - step) / (s.end - s.full))
        docs = next(feed)
        loss = loss_of(w, docs, s, drop)
        for p in w.values(): p.grad = None
        loss.backward(); torch.nn.utils.clip_grad_norm_(embed, 1.)
        for group in adam.param_groups: group["lr"] = EMBED_RATE * rate
        adam.step(); muon.step(MATRIX_RATE * rate)
        step, tokens = step + 1, tokens + sum(len(d) + 1 for d, _ in docs)
        if step % 50 == 0: print(step, round(loss.item(), 4), round(time.time() - start), tokens, flush=True)
        if step % 500 == 0 or step == s.end:
            save(w, tok, s, out)
            torch.save(dict(step=step, seconds=time.time() - start, tokens=tokens, drop=drop.get_state(), muon=muon.m,
                            adam=adam.state_dict(), w={k: v.data for k, v in w.items()}), state + ".new")
            os.replace(state + ".new", state)
    with torch.no_grad(): h = [loss_of(w, held[i:i + 20], s).item() for i in range(0, len(held), 20)]
    print("held-out", round(sum(h) / len(h), 4), "after", round(time.time() - start), "seconds")

main()
