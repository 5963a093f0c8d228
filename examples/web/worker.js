// The model lives here, so that the page never waits for it. Messages in: { load }, { run }, { stop }; out: { ready },
// { token }, { done }, { error }. Between tokens the worker looks at its mail, so a stop is obeyed at once.

// The smallest module with a SIMD instruction: does this browser have SIMD128?
const simdProbe = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11]);
const wanted = new URL(self.location).searchParams.get('simd');
const simd = wanted !== '0' && WebAssembly.validate(simdProbe);

let harp; // the module's exports
let running = 0; // number of the run; a change ends the one that is going on

const bytes = (at, n) => new Uint8Array(harp.memory.buffer, at, n);
const utf8 = new TextDecoder();

function errorText() {
  const at = harp.error_text();
  const all = new Uint8Array(harp.memory.buffer, at, 256);
  return utf8.decode(all.slice(0, all.indexOf(0)));
}

function putText(text) {
  const data = new TextEncoder().encode(text);
  if (data.length + 1 > harp.text_capacity()) throw new Error('the text is too long');
  bytes(harp.text_buffer(), data.length + 1).set([...data, 0]);
  return data.length;
}

const takeText = (n) => utf8.decode(bytes(harp.text_buffer(), n).slice());

function metadata(key) {
  putText(key);
  const n = harp.model_text();
  return n < 0 ? null : takeText(n);
}

function open(data, name) {
  const at = harp.model_buffer(data.byteLength);
  if (!at) throw new Error(`no memory for a model of ${data.byteLength} bytes`);
  bytes(at, data.byteLength).set(new Uint8Array(data));
  if (harp.model_open(data.byteLength)) throw new Error(errorText());
  if (harp.model_number(3) === 0) throw new Error('this model has no tokenizer');
  postMessage({ ready: { name: metadata('name') ?? name, file: name, bytes: data.byteLength, parameters: harp.model_number(0),
    context: harp.model_number(2), simd } });
}

function step(side) {
  const begin = performance.now();
  const n = harp.next(side);
  const seconds = (performance.now() - begin) / 1000;
  if (n < 0) throw new Error(errorText());
  const number = (which) => harp.step_number(side, which);
  const text = takeText(n);
  const token = { side, text, seconds, token: number(0), entropy: number(1), hesitated: number(2) === 1,
    changed: number(0) !== number(4), end: number(5) === 1 };
  if (token.changed) token.instead = takeText(harp.token_text(number(4)));
  postMessage({ token });
  return !token.end;
}

const mail = new MessageChannel(); // a pause that lets messages in without setTimeout's 4 ms
const pause = () => new Promise((resolve) => { mail.port1.onmessage = resolve; mail.port2.postMessage(0); });

async function run(s) {
  const me = ++running;
  const context = Math.min(harp.model_number(2), 4096);
  harp.set(s.theta, s.delta, s.beta, s.temperature, s.reframings, s.frame, context, s.seed);
  for (let side = 0; side < 2; side++) {
    if (harp.begin(side, putText(s.prompt))) throw new Error(errorText());
    await pause();
    if (running !== me) return;
  }
  const going = [true, true];
  const count = [0, 0];
  while (going[0] || going[1]) {
    for (let side = 0; side < 2; side++) {
      if (!going[side]) continue;
      going[side] = step(side) && ++count[side] < s.tokens;
      await pause();
      if (running !== me) return;
    }
  }
  postMessage({ done: {} });
}

async function start() {
  const module = await fetch(simd ? 'harp-simd.wasm' : 'harp.wasm');
  if (!module.ok) throw new Error(`harp.wasm: ${module.status}`);
  harp = (await WebAssembly.instantiate(await module.arrayBuffer())).instance.exports;
  const demo = await fetch('demo.harp');
  if (!demo.ok) throw new Error(`demo.harp: ${demo.status}`);
  open(await demo.arrayBuffer(), 'demo.harp');
}

const started = start();

self.onmessage = async ({ data }) => {
  try {
    await started;
    if (data.stop) running++, postMessage({ done: { stopped: true } });
    if (data.load) running++, open(data.load.data, data.load.name);
    if (data.run) await run(data.run);
  } catch (e) {
    running++;
    postMessage({ error: e.message });
  }
};
started.catch((e) => postMessage({ error: e.message }));
