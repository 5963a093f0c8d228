// The page: settings in, tokens out. All computing is in worker.js.
const $ = (id) => document.getElementById(id);
const worker = new Worker(`worker.js${location.search}`);
const sliders = ['theta', 'delta', 'beta', 'reframings', 'temperature', 'tokens'];
const sides = [0, 1].map((i) => {
  const at = $(`side${i}`);
  return { text: at.querySelector('.text'), chart: at.querySelector('.chart'), numbers: at.querySelector('.numbers') };
});
const CHART_BITS = 5; // the chart's height

let settings;

for (const id of sliders) {
  const show = () => { $(id).closest('label').querySelector('output').value = $(id).value; };
  $(id).addEventListener('input', show);
  show();
}

function say(error) {
  $('error').textContent = error ?? '';
  $('error').hidden = !error;
}

function busy(on) {
  $('run').disabled = on;
  $('stop').disabled = !on;
  document.body.dataset.state = on ? 'running' : 'idle';
}

function read() {
  const s = { prompt: $('prompt').value, frame: Number($('frame').value), seed: Number($('seed').value) >>> 0 };
  for (const id of sliders) s[id] = Number($(id).value);
  return s;
}

function clear(side) {
  Object.assign(side, { count: 0, seconds: 0, above: 0, changed: 0 });
  side.text.replaceChildren();
  side.chart.replaceChildren();
  side.numbers.textContent = '\u00a0';
  const given = document.createElement('span');
  given.className = 'given';
  given.textContent = settings.prompt;
  side.text.append(given);
}

function svg(name, attributes) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  return e;
}

function draw(side, entropy) {
  const height = Math.min(entropy / CHART_BITS, 1);
  if (side.count === 1) {
    side.chart.setAttribute('viewBox', `0 0 ${settings.tokens} 1`);
    const y = 1 - Math.min(settings.theta / CHART_BITS, 1);
    side.chart.append(svg('line', { x1: 0, x2: settings.tokens, y1: y, y2: y }));
  }
  side.chart.append(svg('rect', { x: side.count - 1, y: 1 - height, width: 0.8, height }));
}

const percent = (part, whole) => `${(100 * part / whole).toFixed(1)} %`;

function tell(token) {
  const side = sides[token.side];
  const span = document.createElement('span');
  const entropy = `${token.entropy.toFixed(2)} bits`;
  span.className = `token${token.hesitated ? ' hesitated' : ''}${token.changed ? ' changed' : ''}`;
  span.style.setProperty('--e', Math.min(token.entropy / 4, 1).toFixed(3));
  span.title = token.changed ? `${entropy}; without HARP: \u201c${token.instead}\u201d` : entropy;
  const word = token.text.trimStart(); // a space before it glows for nobody
  span.textContent = word || token.text;
  side.text.append(word ? token.text.slice(0, token.text.length - word.length) : '', span);
  side.count++;
  side.seconds += token.seconds;
  side.above += token.entropy > settings.theta;
  side.changed += token.changed;
  draw(side, token.entropy);
  side.numbers.textContent = `${side.count} tokens, ${(side.count / side.seconds).toFixed(0)} tokens/s, entropy above theta: `
    + percent(side.above, side.count) + (token.side ? `, changed: ${side.changed}` : '');
}

function ready(m) {
  $('model').textContent = `${m.name}, ${(m.parameters / 1e6).toFixed(2)} million parameters, ${(m.bytes / 1e6).toFixed(2)} MB`;
  $('build').textContent = m.simd ? 'WebAssembly with SIMD128.' : 'WebAssembly without SIMD.';
  $('model').dataset.file = m.file;
  say();
  busy(false);
}

worker.onmessage = ({ data }) => {
  if (data.ready) ready(data.ready);
  if (data.token) tell(data.token);
  if (data.done) busy(false);
  if (data.error) say(data.error), busy(false);
};

$('form').addEventListener('submit', (event) => {
  event.preventDefault();
  if ($('run').disabled) return;
  settings = read();
  say();
  sides.forEach(clear);
  busy(true);
  worker.postMessage({ run: settings });
});
$('stop').addEventListener('click', () => worker.postMessage({ stop: true }));

async function load(file) {
  if (!file) return;
  busy(true);
  const data = await file.arrayBuffer();
  worker.postMessage({ load: { data, name: file.name } }, [data]);
}

$('file').addEventListener('change', () => { load($('file').files[0]); $('file').value = ''; });
addEventListener('dragover', (event) => { event.preventDefault(); $('drop').hidden = false; });
addEventListener('dragleave', (event) => { if (!event.relatedTarget) $('drop').hidden = true; });
addEventListener('drop', (event) => {
  event.preventDefault();
  $('drop').hidden = true;
  load(event.dataTransfer.files[0]);
});
