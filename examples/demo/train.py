"""train.py OUT TWIN(A|B): trains one twin and saves a Hugging Face folder. Started again, it goes on where it was; for
the second twin, copy the first one's state.pt of step TRUNK.

The twins share a trunk. After it twin A sees whole embeddings; twin B sees, in half of its rows, embeddings of which a
fifth of the elements is zero, as HARP's second pass will show them. Both see the same text in the same order. A batch is
whole documents of similar length."""
import json, os, struct, sys, time
import numpy as np, torch, torch.nn.functional as F
import bpe, corpus
V, D, L, H, KV, HD, FF = 1280, 160, 4, 5, 5, 32, 384
DOCS, EMBED_RATE, MATRIX_RATE = 100000, 4e-3, .02
EARLY, TRUNK, MOVED, END = 600, 2000, 2100, 2350  # steps at which a part of the training ends
torch.set_num_threads(1)

def init():
    g = torch.Generator().manual_seed(1)
    w = {"model.embed_tokens.weight": torch.randn(V, D, generator=g) * .05, "model.norm.weight": torch.ones(D)}
    shapes = {"self_attn.q_proj": (H*HD, D), "self_attn.k_proj": (KV*HD, D), "self_attn.v_proj": (KV*HD, D),
              "self_attn.o_proj": (D, H*HD), "mlp.gate_proj": (FF, D), "mlp.up_proj": (FF, D), "mlp.down_proj": (D, FF)}
    for i in range(L):
        p = f"model.layers.{i}."
        for n, s in shapes.items(): w[p + n + ".weight"] = torch.randn(*s, generator=g) * s[1] ** -.5 * .7
        for n in ("input_layernorm", "post_attention_layernorm"): w[p + n + ".weight"] = torch.ones(D)
    return {k: v.requires_grad_() for k, v in w.items()}

def norm(x, w): return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w

def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin

def forward(w, ids, keep=None):
    B, n = ids.shape
    x = F.embedding(ids, w["model.embed_tokens.weight"])
    if keep is not None: x = x * keep  # no rescale
    ang = torch.arange(n)[:, None] * 10000. ** (-torch.arange(0, HD, 2) / HD)
    ang = torch.cat((ang, ang), -1); cos, sin = ang.cos(), ang.sin()
    bar = torch.full((n, n), -1e9).triu(1)
    for i in range(L):
        p = lambda s: w[f"model.layers.{i}.{s}.weight"]
        h = norm(x, p("input_layernorm"))
        q, k, v = (F.linear(h, p(f"self_attn.{c}_proj")).view(B, n, -1, HD).transpose(1, 2) for c in "qkv")
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        if H != KV: k, v = k.repeat_interleave(H // KV, 1), v.repeat_interleave(H // KV, 1)
        a = ((q * HD ** -.5) @ k.transpose(-1, -2) + bar).softmax(-1) @ v
        x = x + F.linear(a.transpose(1, 2).reshape(B, n, -1), p("self_attn.o_proj"))
        h = norm(x, p("post_attention_layernorm"))
        x = x + F.linear(F.silu(F.linear(h, p("mlp.gate_proj"))) * F.linear(h, p("mlp.up_proj")), p("mlp.down_proj"))
    return F.linear(norm(x, w["model.norm.weight"]), w["model.embed_tokens.weight"])

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
            x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
            for _ in range(5):
                a = x @ x.transpose(1, 2)
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            if rows > columns: x = x.transpose(1, 2)
            for (p, _), u in zip(pairs, x):
                p.data.mul_(1 - .01 * rate).sub_(u, alpha=rate * max(1, rows / columns) ** .5)

def batches(docs, seed, rows):
    """An endless row of batches of at most `rows` tokens, documents of similar length together."""
    r = np.random.RandomState(seed)
    while True:
        order, cut = r.permutation(len(docs)), []
        for start in range(0, len(docs), 2000):
            pool = sorted(order[start:start + 2000], key=lambda i: len(docs[i]))
            while pool:
                n = max(1, rows // len(docs[pool[-1]])); cut.append(pool[-n:]); pool = pool[:-n]
        for i in r.permutation(len(cut)): yield [docs[j] for j in cut[i]]

def pad(docs):
    """Inputs begin with the end token, targets end with it; what only fills up is no target."""
    n = max(map(len, docs)) + 1
    ids = torch.zeros(len(docs), n, dtype=torch.long); want = torch.full((len(docs), n), -100)
    for i, d in enumerate(docs):
        ids[i, 1:len(d) + 1] = want[i, :len(d)] = torch.tensor(d, dtype=torch.long); want[i, len(d)] = 0
    return ids, want

def save(w, tok, out):
    os.makedirs(out, exist_ok=True); tok.save(out)
    head, blob = {}, b""
    for k in sorted(w):
        data = w[k].detach().numpy().astype("<f4").tobytes()
        head[k] = dict(dtype="F32", shape=list(w[k].shape), data_offsets=[len(blob), len(blob) + len(data)])
        blob += data
    text = json.dumps(head).encode(); text += b" " * (-len(text) % 8)
    open(out + "/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + blob)
    json.dump(dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=V, hidden_size=D,
        intermediate_size=FF, num_hidden_layers=L, num_attention_heads=H, num_key_value_heads=KV, head_dim=HD,
        hidden_act="silu", rms_norm_eps=1e-5, rope_theta=10000.0, rope_scaling=None, max_position_embeddings=512,
        attention_bias=False, mlp_bias=False, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
        torch_dtype="float32", initializer_range=0.02, use_cache=True), open(out + "/config.json", "w"))
    json.dump(dict(bos_token_id=0, eos_token_id=0), open(out + "/generation_config.json", "w"))

def loss_of(w, docs, keep=None):
    x, want = pad(docs)
    if keep is not None:  # half of the rows whole, a fifth of the others' elements dropped
        whole = torch.rand(len(x), 1, 1, generator=keep) < .5
        keep = ((torch.rand(*x.shape, D, generator=keep) > .2) | whole).float()
    return F.cross_entropy(forward(w, x, keep).flatten(0, 1), want.flatten())

def plan(step, twin):
    """The learning rate's factor, whether embeddings are damaged, which batches. The descent was shortened under way."""
    if step < EARLY: return min((step + 1) / 50, 1), True, "early"
    if step < TRUNK: return 1, False, "main"
    if step < MOVED: return (2700 - step) / 700, twin == "B", "main"
    return (END - step) / (END - TRUNK), twin == "B", "main"

def main():
    out, twin = sys.argv[1], sys.argv[2]
    docs, held = corpus.build(7, DOCS)
    tok = bpe.Tokenizer(bpe.train("\n".join(docs[:8000]), V))
    docs, held = [tok.encode(d) for d in docs], [tok.encode(d) for d in held[:400]]
    w = init()
    embed = [p for p in w.values() if p.dim() == 1 or len(p) == V]
    adam = torch.optim.AdamW(embed, betas=(.9, .95), weight_decay=0.)
    muon = Muon([p for p in w.values() if p.dim() == 2 and len(p) != V])
    drop, step, seconds, state = torch.Generator().manual_seed(3), 0, 0., out + "/state.pt"
    if os.path.exists(state):
        s = torch.load(state)
        step, seconds, muon.m = s["step"], s["seconds"], s["muon"]
        drop.set_state(s["drop"]); adam.load_state_dict(s["adam"])
        for k, v in w.items(): v.data.copy_(s["w"][k])
    feeds = dict(early=batches(docs, 2, 2560), main=batches(docs, 3, 1536))
    for i in range(step): next(feeds[plan(i, twin)[2]])
    print(len(docs), "documents,", sum(map(len, docs)), "tokens,", sum(p.numel() for p in w.values()), "parameters")
    start = time.time() - seconds
    while step < END:
        rate, damaged, feed = plan(step, twin)
        loss = loss_of(w, next(feeds[feed]), drop if damaged else None)
        for p in w.values(): p.grad = None
        loss.backward(); torch.nn.utils.clip_grad_norm_(embed, 1.)
        for group in adam.param_groups: group["lr"] = EMBED_RATE * rate
        adam.step(); muon.step(MATRIX_RATE * rate); step += 1
        if step % 50 == 0: print(step, round(loss.item(), 4), round(time.time() - start), flush=True)
        if step % 100 == 0 or step == END:
            save(w, tok, out)
            torch.save(dict(step=step, seconds=time.time() - start, drop=drop.get_state(), adam=adam.state_dict(),
                            muon=muon.m, w={k: v.data for k, v in w.items()}), state + ".new")
            os.replace(state + ".new", state)
    with torch.no_grad(): h = [loss_of(w, held[i:i + 20]).item() for i in range(0, len(held), 20)]
    print("held-out", round(sum(h) / len(h), 4), "after", round(time.time() - start), "seconds")

main()
