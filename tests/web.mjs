// The web example in headless Chromium: node tests/web.mjs BUILD_FOLDER [SCREENSHOT_FOLDER]
// Needs playwright-core in BUILD_FOLDER/node and a chromium; what the page tells must be what the desk tells.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, resolve } from 'node:path';

const build = resolve(process.argv[2]);
const shots = process.argv[3];
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((p) => existsSync(p));
const site = join(build, 'web');
let passed = 0, failed = 0;

function skip(reason) {
  console.log(`skipped: web page: ${reason}\n0 passed, 0 failed`);
  process.exit(0);
}

function check(name, good, detail = '') {
  if (good) passed++;
  else failed++, console.log(`FAILED ${name} ${detail}`);
}

if (!chromium) skip('no chromium');
if (!existsSync(join(site, 'harp.wasm'))) skip('not built: make web');
if (!existsSync(join(build, 'node/node_modules/playwright-core'))) skip('no playwright-core');
const playwright = createRequire(join(build, 'node/'))('playwright-core');

const types = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.wasm': 'application/wasm' };
const server = createServer((request, response) => {
  const path = new URL(request.url, 'http://x').pathname;
  const file = join(site, path === '/' ? 'index.html' : path.slice(1));
  if (!existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' }).end(readFileSync(file));
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const address = `http://127.0.0.1:${server.address().port}/`;

const PROMPT = 'One day, Anna';
const desk = (...options) => execFileSync(join(build, 'harp'), ['run', '-m', join(site, 'demo.harp'), '-p', PROMPT, '-n', '100',
  '--color', 'never', '-c', '512', '--paper', ...options]).toString().trimEnd();

const browser = await playwright.chromium.launch({ executablePath: chromium, args: ['--no-sandbox'] });

async function open(query, options) {
  const page = await (await browser.newContext(options)).newPage();
  page.problems = [];
  page.on('console', (m) => m.type() === 'error' && page.problems.push(m.text()));
  page.on('pageerror', (e) => page.problems.push(e.message));
  await page.goto(address + query);
  await page.waitForFunction(() => document.body.dataset.state === 'idle', null, { timeout: 60000 });
  return page;
}

// Moves a slider as a hand would, as far as the page can tell.
const slide = (page, id, value) => page.locator(`#${id}`).evaluate((e, v) => {
  e.value = v;
  e.dispatchEvent(new Event('input'));
}, value);

async function tell(page) {
  await page.locator('#run').click();
  await page.waitForFunction(() => document.body.dataset.state === 'idle', null, { timeout: 120000 });
  return page.evaluate(() => [0, 1].map((i) => document.querySelector(`#side${i} .text`).textContent.trimEnd()));
}

async function shot(page, name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

try {
  const page = await open('', { viewport: { width: 1180, height: 860 } });
  check('the demo model is there', (await page.locator('#model').textContent()).includes('1.35 million'));
  check('SIMD128 is used', (await page.locator('#build').textContent()).includes('with SIMD128'));
  await slide(page, 'tokens', 100);

  // The longest time between two frames while both sides are told, two seconds' worth of work or not.
  await page.evaluate(() => {
    let last = performance.now();
    window.longest = 0;
    const tick = (now) => { window.longest = Math.max(window.longest, now - last); last = now; requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
  });
  const plain = desk('--no-harp'), harp = desk();
  let [left, right] = await tell(page);
  check('vanilla tells what the desk tells', left === plain, `\n${left}\n${plain}`);
  check('HARP tells what the desk tells', right === harp, `\n${right}\n${harp}`);
  check('they differ', left !== right);
  const longest = await page.evaluate(() => window.longest);
  check('the page did not freeze', longest < 500, `longest frame ${longest} ms`);
  const numbers = await page.locator('#side1 .numbers').textContent();
  check('tokens/s are told', /[1-9][0-9]* tokens\/s/.test(numbers), numbers);
  check('hesitations are marked', await page.locator('#side1 .hesitated').count() > 0);
  const glow = await page.locator('#side1 .text .token').evaluateAll((all) => all.map((e) => Number(e.style.getPropertyValue('--e'))));
  check('tokens glow by entropy', Math.max(...glow) > 0.3 && Math.min(...glow) < 0.05, String(glow));
  check('the chart has a bar for each token', await page.locator('#side1 .chart rect').count() === glow.length);
  await shot(page, 'light');
  console.log(`note ${numbers}; longest frame ${longest.toFixed(0)} ms`);

  await slide(page, 'theta', 0.4), await slide(page, 'delta', 0.5), await slide(page, 'beta', 0.2), await slide(page, 'reframings', 3);
  await page.locator('#seed').fill('11');
  [left, right] = await tell(page);
  const tuned = desk('--theta', '0.4', '--delta', '0.5', '--beta', '0.2', '--reframings', '3', '--seed', '11');
  check('the sliders reach the model', right === tuned, `\n${right}\n${tuned}`);

  await slide(page, 'tokens', 400);
  await slide(page, 'reframings', 8);
  await page.locator('#run').click();
  await page.waitForFunction(() => document.querySelectorAll('#side1 .token').length > 5);
  await page.locator('#stop').click();
  await page.waitForFunction(() => document.body.dataset.state === 'idle', null, { timeout: 5000 });
  await page.waitForTimeout(300);
  const after = await page.locator('#side1 .token').count();
  await page.waitForTimeout(300);
  check('stop stops', await page.locator('#side1 .token').count() === after && after < 400);

  // Dropping files: a wrong one is refused and the model stays; a good one comes in.
  const drop = (bytes, name) => page.evaluate(([data, fileName]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([new Uint8Array(data)], fileName));
    dispatchEvent(new DragEvent('drop', { dataTransfer: carried, cancelable: true }));
  }, [[...bytes], name]);
  await drop(Buffer.from('this is not a model, but it is long enough to be looked at: a header has 64 bytes'), 'wrong.harp');
  await page.waitForSelector('#error:not([hidden])');
  check('a wrong file is refused', (await page.locator('#error').textContent()).includes('not a .harp file'));
  await shot(page, 'error');
  await drop(readFileSync(join(site, 'demo.harp')), 'mine.harp');
  await page.waitForFunction(() => document.querySelector('#model').dataset.file === 'mine.harp');
  await slide(page, 'tokens', 100), await slide(page, 'theta', 1), await slide(page, 'delta', 0.2), await slide(page, 'beta', 0.5);
  await slide(page, 'reframings', 1);
  await page.locator('#seed').fill('0');
  [left, right] = await tell(page);
  check('a dropped model tells', right === harp && left === plain);
  check('no errors on the console', page.problems.length === 0, page.problems.join('; '));

  const phone = await open('?simd=0', { viewport: { width: 390, height: 844 }, colorScheme: 'dark', deviceScaleFactor: 2, isMobile: true, hasTouch: true });
  check('without SIMD on request', (await phone.locator('#build').textContent()).includes('without SIMD'));
  await slide(phone, 'tokens', 100);
  [left, right] = await tell(phone);
  check('plain WebAssembly tells the same', left === plain && right === harp);
  const width = await phone.evaluate(() => document.documentElement.scrollWidth);
  check('it fits a phone', width <= 390, `${width} pixels`);
  const paper = await phone.evaluate(() => getComputedStyle(document.body).backgroundColor);
  check('dark where dark is wanted', paper.match(/\d+/g).slice(0, 3).every((c) => Number(c) < 60), paper);
  console.log(`note without SIMD: ${await phone.locator('#side1 .numbers').textContent()}`);
  await shot(phone, 'phone-dark');
  const file = await (await browser.newContext()).newPage();
  await file.goto(`file://${join(site, 'index.html')}`);
  const told = await file.locator('#error').textContent({ timeout: 5000 });
  check('opened as a file it says what to do', await file.locator('#error').isVisible() && told.includes('python3 -m http.server'), told);
  check('and no longer that it loads', (await file.locator('#model').textContent()) === 'not loaded');
  await shot(file, 'file');
  check('no errors on the console there', phone.problems.length === 0, phone.problems.join('; '));
} catch (e) {
  check('the page behaves', false, e.stack);
}
await browser.close();
server.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
