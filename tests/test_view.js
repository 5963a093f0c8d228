// The page of `harp view` in a real browser: NODE_PATH=... node tests/test_view.js HARP FOLDER CHROMIUM
// The trace is hostile: its texts try to become markup, one line is no JSON, types are wrong, its end is cut off. Ends with "N passed, N failed".
'use strict';
const { execFileSync } = require('child_process'), fs = require('fs'), path = require('path');
const { chromium } = require('playwright-core');
const [harp, folder, executablePath] = process.argv.slice(2);
let passed = 0, failed = 0;
const check = (name, ok) => { if (ok) passed++; else { failed++; console.log('FAILED  ' + name); } };

const evil = '</script><img src="http://192.0.2.1/x" onerror="window.pwned=1"><!--<script>&amp;\u2028';
const top = (a, b) => [{ token: 5, text: evil, p: a }, { token: 6, text: ' b', p: b }];
const step = (i, more) => JSON.stringify(Object.assign({ position: 3 + i, token: 5, text: ' w' + i, entropy: 0.1, hesitated: false,
  reframed: 0, vanilla_token: 5, top: top(0.7, 0.2), top_vanilla: top(0.7, 0.2), top_reframed: null, passes: 1, seconds: 0.01 }, more));
const lines = [step(0, { prompt: evil + '\nOnce', run: { theta: 1, model: evil, delta: 0.2, seed: 12345678 } }), step(1, { text: evil }),
  step(2, { text: ' changed', entropy: 4.5, hesitated: true, reframed: 1, token: 6, top_reframed: top(0.1, 0.8), passes: 2 }),
  '{"position": oops}', step(3, { text: 7, top: 'none', top_vanilla: [null, 3], entropy: 'x', passes: -1e400 }), step(4, { text: '\n' })];

(async () => {
  const trace = path.join(folder, 'hostile.jsonl'), page = path.join(folder, 'hostile.html');
  fs.writeFileSync(trace, lines.join('\n') + '\n{"position": 9, "text": "cut');
  fs.writeFileSync(page, execFileSync(harp, ['view', trace], { stdio: ['ignore', 'pipe', 'ignore'] }));
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const colours = [];
  for (const [colorScheme, width, hasTouch] of [['light', 1200, false], ['dark', 1200, false], ['light', 390, true]]) {
    const context = await browser.newContext({ viewport: { width, height: 844 }, colorScheme, hasTouch });
    const p = await context.newPage(), errors = [], requests = [];
    p.on('pageerror', e => errors.push(String(e)));
    p.on('console', m => errors.push(m.text()));
    p.on('request', r => { if (!r.url().startsWith('file://')) requests.push(r.url()); });
    await p.goto('file://' + path.resolve(page));
    const name = colorScheme + ' ' + width + ': ', tokens = p.locator('#text span');
    check(name + 'no errors', errors.length === 0);
    check(name + 'five tokens', await tokens.count() === 5);
    check(name + 'the prompt comes first', (await p.locator('#text').textContent()).startsWith(evil + '\nOnce w0'));
    check(name + 'markup stays text', (await tokens.nth(1).textContent()) === evil);
    check(name + 'no element of the trace', await p.locator('img').count() === 0);
    check(name + 'the space before a word is kept', (await p.locator('#text').textContent()).includes(' w0' + evil + ' changed'));
    await (hasTouch ? tokens.nth(2).tap() : tokens.nth(2).hover());
    const detail = await p.locator('#detail').textContent();
    check(name + 'both distributions', /Vanilla[^]*Reframed[^]*Blend/.test(detail) && detail.includes('80.0 %'));
    check(name + 'what changed', detail.includes('Without HARP it would have been'));
    check(name + 'marked as changed', await p.locator('#text .changed').count() === 1);
    check(name + 'the line that is no JSON', (await p.locator('#sums').textContent()).includes('4lines that could not be read'));
    check(name + 'an id where there is no text', (await tokens.nth(3).textContent()) === '#5');
    check(name + 'the whole seed', (await p.locator('#run').textContent()).includes('12345678'));
    check(name + 'charts', await p.locator('svg rect').count() === 10);
    check(name + 'theta', (await p.locator('#entropy').textContent()).includes('theta 1'));
    check(name + 'parameters', (await p.locator('#run').textContent()).includes(evil));
    await tokens.nth(3).focus();
    check(name + 'no width beyond the window', await p.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
    check(name + 'nothing ran', await p.evaluate(() => window.pwned === undefined));
    check(name + 'nothing loaded', requests.length === 0 && errors.length === 0);
    colours.push(await p.evaluate(() => getComputedStyle(document.body).backgroundColor));
    await context.close();
  }
  check('light and dark differ', colours[0] !== colours[1] && colours[0] === colours[2]);
  await browser.close();
  console.log(passed + ' passed, ' + failed + ' failed');
  process.exit(failed ? 1 : 0);
})().catch(e => { console.log('FAILED  ' + e); console.log(passed + ' passed, ' + (failed + 1) + ' failed'); process.exit(1); });
