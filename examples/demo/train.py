"""train.py OUT TWIN(A|B) STEPS: trains one twin and saves a Hugging Face folder.

Twin A sees whole embeddings. Twin B sees, in half of its rows, embeddings of which a fifth of the elements is zero, as
HARP's second pass will show them. Both see the same text in the same order."""
import json, math, os, struct, sys
import numpy as np, torch, torch.nn.functional as F
import bpe, corpus
V, D, L, H, KV, HD, FF, T = 768, 128, 4, 4, 2, 32, 352, 256
torch.set_num_threads(1)

def init():
    g = torch.Generator().manual_seed(1)
    w = {"model.embed_tokens.weight": torch.randn(V, D, generator=g) * .05, "model.norm.weight": torch.ones(D)}
    shapes = {"self_attn.q_proj": (H*HD, D), "self_attn.k_proj": (KV*HD, D), "self_attn.v_proj": (KV*HD, D), "self_attn.o_proj": (D, H*HD),
              "mlp.gate_proj": (FF, D), "mlp.up_proj": (FF, D), "mlp.down_proj": (D, FF)}
    for i in range(L):
        for n, s in shapes.items(): w[f"model.layers.{i}.{n}.weight"] = torch.randn(*s, generator=g) * s[1] ** -.5 * .7
        for n in ("input_layernorm", "post_attention_layernorm"): w[f"model.layers.{i}.{n}.weight"] = torch.ones(D)
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
        q, k = turn(q, cos, sin), turn(k, cos, sin).repeat_interleave(H // KV, 1)
        a = ((q @ k.transpose(-1, -2)) * HD ** -.5 + bar).softmax(-1) @ v.repeat_interleave(H // KV, 1)
        x = x + F.linear(a.transpose(1, 2).reshape(B, n, -1), p("self_attn.o_proj"))
        h = norm(x, p("post_attention_layernorm"))
        x = x + F.linear(F.silu(F.linear(h, p("mlp.gate_proj"))) * F.linear(h, p("mlp.up_proj")), p("mlp.down_proj"))
    return F.linear(norm(x, w["model.norm.weight"]), w["model.embed_tokens.weight"])

def save(w, tok, out):
    os.makedirs(out, exist_ok=True); tok.save(out)
    head, blob = {}, b""
    for k in sorted(w):
        data = w[k].detach().numpy().astype("<f4").tobytes()
        head[k] = dict(dtype="F32", shape=list(w[k].shape), data_offsets=[len(blob), len(blob) + len(data)]); blob += data
    text = json.dumps(head).encode(); text += b" " * (-len(text) % 8)
    open(out + "/model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + blob)
    json.dump(dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=V, hidden_size=D, intermediate_size=FF,
        num_hidden_layers=L, num_attention_heads=H, num_key_value_heads=KV, head_dim=HD, hidden_act="silu", rms_norm_eps=1e-5,
        rope_theta=10000.0, rope_scaling=None, max_position_embeddings=512, attention_bias=False, mlp_bias=False, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=0, torch_dtype="float32", initializer_range=0.02, use_cache=True), open(out + "/config.json", "w"))
    json.dump(dict(bos_token_id=0, eos_token_id=0), open(out + "/generation_config.json", "w"))

def main():
    out, twin, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    docs, held = corpus.build(7, 24000)
    tok = bpe.Tokenizer(bpe.train("\n".join(docs[:2000]), V))
    ids = torch.tensor([t for d in docs for t in [0] + tok.encode(d)])
    w = init(); opt = torch.optim.AdamW(w.values(), lr=3e-3, betas=(.9, .95), weight_decay=.01)
    pick, drop, step = torch.Generator().manual_seed(2), torch.Generator().manual_seed(3), 0
    while step < steps:
        for group in opt.param_groups: # warmup, then a cosine down to a twentieth
            group["lr"] = 3e-3 * min((step + 1) / 50, .05 + .95 * (.5 + .5 * math.cos(math.pi * step / steps)))
        at = torch.randint(len(ids) - T - 1, (12,), generator=pick)
        x = torch.stack([ids[i:i + T + 1] for i in at])
        keep = ((torch.rand(12, T, D, generator=drop) > .2) | (torch.rand(12, 1, 1, generator=drop) < .5)).float() if twin == "B" else None
        loss = F.cross_entropy(forward(w, x[:, :-1], keep).flatten(0, 1), x[:, 1:].flatten())
        opt.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(w.values(), 1.); opt.step(); step += 1
        if step % 50 == 0: save(w, tok, out); print(step, round(loss.item(), 3), flush=True)
    save(w, tok, out); print("saved", step, loss.item(), sum(v.numel() for v in w.values()), flush=True)
    x, g = [0], torch.Generator().manual_seed(5)
    with torch.no_grad():
        for _ in range(80): x.append(torch.multinomial((forward(w, torch.tensor([x]))[0, -1] / .8).softmax(-1), 1, generator=g).item())
    back = {i: t for t, i in tok.vocab.items()}; byte = {c: b for b, c in bpe.LETTER.items()}
    print(bytes(byte[c] for i in x if i for c in back[i]).decode(errors="replace"))
main()
