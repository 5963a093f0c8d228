/* view.c - a trace as one self-contained page
 *
 * The page is the text below with the trace in it, and needs nothing else: no network, no other file. Traces are
 * hostile: a line goes into the page as it is, but for what could end the element that holds it, or control a terminal,
 * which is written as a JSON escape; the page parses it as JSON and shows it as text, never as markup, and its policy
 * forbids to load anything.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* The lines of the page; a line "@DATA@" in it stands for the trace. */
static const char *const page[] = {
    "<!DOCTYPE html>\n",
    "<html lang=\"en\"><head><meta charset=\"utf-8\">\n",
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; ",
    "script-src 'unsafe-inline'\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" ",
    "content=\"light dark\">\n",
    "<title>harp: where the model hesitated</title>\n",
    "<style>\n",
    ":root { --paper: #fbfaf8; --card: #fff; --ink: #1d1b19; --soft: #6a645d; --line: #dcd6ce; --heat: ",
    "238,122,48; --mark: #b3261e;\n",
    "  --vanilla: #3b6ea8; --reframed: #c2631a; --combined: #4a7d3c }\n",
    "@media (prefers-color-scheme: dark) { :root { --paper: #171614; --card: #211f1d; --ink: #ece7e0; ",
    "--soft: #a59d93;\n",
    "  --line: #3a3632; --heat: 214,96,28; --mark: #ff8a7a; --vanilla: #7fb0e6; --reframed: #f0a15e; ",
    "--combined: #8fc47e } }\n",
    "* { box-sizing: border-box }\n",
    "body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif ",
    "}\n",
    "main { max-width: 68rem; margin: 0 auto; padding: 1.25rem 1rem 4rem; display: grid; gap: 1rem;\n",
    "  grid-template-columns: minmax(0, 1fr) 21rem; align-items: start }\n",
    "h1 { font-size: 1.15rem; margin: 0; grid-column: 1 / -1 }\n",
    "h2 { font-size: .8rem; margin: 0 0 .5rem; color: var(--soft); font-weight: 600 }\n",
    "section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: ",
    ".9rem 1rem; min-width: 0 }\n",
    ".wide { grid-column: 1 / -1 }\n",
    "#sums { display: flex; flex-wrap: wrap; gap: .5rem 1.75rem; padding: .7rem 1rem }\n",
    "#sums div { font-size: .8rem; color: var(--soft) }\n",
    "#sums b { display: block; color: var(--ink); font-size: 1.15rem; font-variant-numeric: tabular-nums ",
    "}\n",
    "#text { font: 1.08rem/1.9 Georgia, serif; white-space: pre-wrap; overflow-wrap: anywhere }\n",
    "#text span { border-radius: 3px; padding: .1em 0; cursor: pointer }\n",
    "#text i { font-style: normal; color: var(--soft) }\n",
    "#text .hesitated { box-shadow: inset 0 -2px 0 0 var(--soft) }\n",
    "#text .changed { box-shadow: inset 0 -3px 0 0 var(--mark) }\n",
    "#text span:focus-visible, #text .picked { outline: 2px solid var(--ink); outline-offset: 1px }\n",
    ".legend { margin: .8rem 0 0; font-size: .78rem; color: var(--soft); display: flex; flex-wrap: wrap; ",
    "gap: .3rem 1rem; align-items: center }\n",
    ".legend i { display: inline-block; width: 5.5rem; height: .7rem; border-radius: 3px; ",
    "vertical-align: middle;\n",
    "  background: linear-gradient(90deg, rgba(var(--heat),0), rgba(var(--heat),.8)) }\n",
    ".legend u { text-decoration: none; padding-bottom: 1px; border-bottom: 2px solid var(--soft) }\n",
    ".legend u + u { border-bottom: 3px solid var(--mark) }\n",
    "#detail { grid-row: 3 / span 3; grid-column: 2; position: sticky; top: 1rem; max-height: calc(100vh ",
    "- 2rem); overflow: auto }\n",
    "#detail p { margin: 0 0 .6rem; font-size: .88rem }\n",
    "#detail h2 { margin-top: .8rem }\n",
    ".bar { display: grid; grid-template-columns: 6.5rem 1fr 3.3rem; gap: .4rem; align-items: center; ",
    "font-size: .82rem; line-height: 1.55 }\n",
    ".bar code { overflow: hidden; text-overflow: ellipsis; white-space: pre; font-size: .8rem }\n",
    ".bar span { text-align: right; font-variant-numeric: tabular-nums; color: var(--soft) }\n",
    ".bar div { height: .6rem; border-radius: 3px; min-width: 1px }\n",
    ".chosen code { font-weight: 700 }\n",
    "svg { display: block; width: 100%; height: auto; touch-action: pan-y }\n",
    "svg text { fill: var(--soft); font: 11px system-ui, sans-serif }\n",
    "dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .45rem ",
    "1rem; margin: 0 }\n",
    "dt { font-size: .75rem; color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere; font-size: ",
    ".92rem }\n",
    "@media (max-width: 52rem) { main { grid-template-columns: minmax(0, 1fr); padding: .8rem .6rem 45vh ",
    "}\n",
    "  #detail { grid-row: auto; grid-column: auto; position: fixed; left: 0; right: 0; bottom: 0; top: ",
    "auto; max-height: 42vh; border-radius: 14px 14px 0 0; z-index: 2;\n",
    "    box-shadow: 0 -4px 18px rgba(0,0,0,.22) } }\n",
    "</style></head><body><main>\n",
    "<h1>Where the model hesitated</h1>\n",
    "<section id=\"sums\" class=\"wide\"></section>\n",
    "<section><h2>Text</h2><div id=\"text\"></div>\n",
    "<p class=\"legend\"><span>entropy 0 <i></i> 6 bits</span><u>hesitated</u><u>HARP chose another ",
    "token</u><span>gray: the prompt</span></p></section>\n",
    "<section id=\"detail\" aria-live=\"polite\"><p>Point at a token, or tap it.</p></section>\n",
    "<section><h2>Entropy of the next token, bits</h2><div id=\"entropy\"></div></section>\n",
    "<section><h2>Cost of each token: passes over the weights</h2><div id=\"cost\"></div></section>\n",
    "<section class=\"wide\"><h2>Parameters</h2><dl id=\"run\"></dl></section>\n",
    "<noscript><section class=\"wide\">This page draws itself with JavaScript of its own; nothing is ",
    "loaded from elsewhere.</section></noscript>\n",
    "</main>\n",
    "<script type=\"application/json\" id=\"data\">",
    "@DATA@",
    "</script>\n",
    "<script>\n",
    "'use strict';\n",
    "const steps = [], bad = [], $ = id => document.getElementById(id);\n",
    "$('data').textContent.split('\\n').forEach((line, i) => {\n",
    "  if (!line.trim()) return;\n",
    "  try { const s = JSON.parse(line); if (s && typeof s === 'object') steps.push(s); else bad.push(i ",
    "+ 1); }\n",
    "  catch (e) { bad.push(i + 1); }\n",
    "});\n",
    "const num = x => Number.isFinite(x) ? x : 0, str = x => typeof x === 'string' ? x : '', list = x => ",
    "Array.isArray(x) ? x : [];\n",
    "const make = (tag, text, className) => { const e = document.createElement(tag); if (text !== ",
    "undefined) e.textContent = text;\n",
    "  if (className) e.className = className; return e; };\n",
    "const svg = (tag, attributes) => { const e = document.createElementNS('http://www.w3.org/2000/svg', ",
    "tag);\n",
    "  for (const k in attributes) e.setAttribute(k, attributes[k]); return e; };\n",
    "const id = s => s && Number.isInteger(s.token) ? '#' + s.token : '\\u2205'; /* where the model has no texts */\n",
    "const shown = s => str(s && s.text).replace(/\\n/g, '\\u21b5').replace(/\\t/g, '\\u21e5').replace(/ /g, ",
    "'\\u2423') || id(s);\n",
    "const changed = s => num(s.reframed) > 0 && s.token !== s.vanilla_token;\n",
    "\n",
    "function summary() {\n",
    "  const n = steps.length || 1, sum = f => steps.reduce((a, s) => a + num(f(s)), 0), seconds = sum(s ",
    "=> s.seconds);\n",
    "  const put = (value, name) => { const d = make('div', name); d.prepend(make('b', value)); ",
    "$('sums').append(d); };\n",
    "  put(steps.length, 'tokens');\n",
    "  put((100 * sum(s => s.hesitated === true ? 1 : 0) / n).toFixed(1) + ' %', 'hesitated');\n",
    "  put(sum(s => changed(s) ? 1 : 0), 'changed by HARP');\n",
    "  put((sum(s => s.entropy) / n).toFixed(2), 'bits of entropy, mean');\n",
    "  put((sum(s => s.passes) / n).toFixed(2), 'passes a token');\n",
    "  if (seconds > 0) put((n / seconds).toFixed(1), 'tokens a second');\n",
    "  if (bad.length) put(bad.join(', '), 'lines that could not be read');\n",
    "}\n",
    "\n",
    "function bars(box, title, top, colour, chosen) {\n",
    "  if (!list(top).length) return;\n",
    "  box.append(make('h2', title));\n",
    "  list(top).slice(0, 5).forEach(c => {\n",
    "    const p = Math.max(0, Math.min(1, num(c && c.p))), row = make('div', undefined, 'bar'), bar = ",
    "make('div');\n",
    "    if (c && c.token === chosen) row.classList.add('chosen');\n",
    "    bar.style.width = 100 * p + '%'; bar.style.background = 'var(' + colour + ')';\n",
    "    const cell = make('div'); cell.append(bar); cell.style.height = 'auto';\n",
    "    row.append(make('code', shown(c)), cell, make('span', (100 * p).toFixed(1) + ' %'));\n",
    "    box.append(row);\n",
    "  });\n",
    "}\n",
    "\n",
    "let picked = null;\n",
    "function pick(i) {\n",
    "  const s = steps[i], box = $('detail'), name = list(s.top_vanilla).find(c => c && c.token === ",
    "s.vanilla_token);\n",
    "  if (picked) picked.classList.remove('picked');\n",
    "  picked = $('text').querySelectorAll('span')[i]; picked.classList.add('picked');\n",
    "  box.replaceChildren();\n",
    "  const head = make('p'); head.append(make('b', shown(s)), ' at position ' + num(s.position) + ",
    "', entropy ' +\n",
    "    num(s.entropy).toFixed(2) + ' bits' + (s.hesitated === true ? ': it hesitated.' : '.'));\n",
    "  box.append(head);\n",
    "  if (changed(s)) box.append(make('p', 'Without HARP it would have been ' + (name ? ",
    "shown(name) : 'token ' + num(s.vanilla_token)) + '.'));\n",
    "  bars(box, 'Vanilla', s.top_vanilla, '--vanilla', s.vanilla_token);\n",
    "  bars(box, 'Reframed', s.top_reframed, '--reframed', s.token);\n",
    "  if (num(s.reframed) > 0) bars(box, 'Blend: what was chosen from', s.top, '--combined', s.token);\n",
    "  document.querySelectorAll('.cursor').forEach(c => { c.setAttribute('x1', c.at(i)); ",
    "c.setAttribute('x2', c.at(i)); });\n",
    "}\n",
    "\n",
    "function text() {\n",
    "  if (steps.length && str(steps[0].prompt)) $('text').append(make('i', steps[0].prompt));\n",
    "  steps.forEach((s, i) => {\n",
    "    const whole = str(s.text) || ' ' + id(s), lead = whole.length > 1 && whole[0] === ' ' ? ' ' : ''; /* a space ",
    "before a word stays unmarked */\n",
    "    const span = make('span', whole.slice(lead.length)), h = Math.max(0, Math.min(1, num(s.entropy) ",
    "/ 6));\n",
    "    span.style.background = 'rgba(var(--heat),' + (0.8 * h).toFixed(3) + ')';\n",
    "    if (s.hesitated === true) span.classList.add('hesitated');\n",
    "    if (changed(s)) span.classList.add('changed');\n",
    "    span.tabIndex = 0;\n",
    "    ['mouseenter', 'focus', 'click'].forEach(e => span.addEventListener(e, () => pick(i)));\n",
    "    $('text').append(lead, span);\n",
    "  });\n",
    "}\n",
    "\n",
    "function chart(box, values, colour, line, name) {\n",
    "  const w = 640, h = 150, left = 34, n = values.length, most = Math.max(1, line || 0, ...values), x ",
    "= i => left + (w - left - 6) * (i + 0.5) / Math.max(1, n);\n",
    "  const y = v => h - 20 - (h - 32) * v / most, s = svg('svg', { viewBox: '0 0 ' + w + ' ' + h, ",
    "role: 'img', 'aria-label': name });\n",
    "  const write = (px, py, t, anchor) => { const e = svg('text', { x: px, y: py, 'text-anchor': ",
    "anchor }); e.textContent = t; s.append(e); };\n",
    "  const wide = Math.max(1, (w - left - 6) / Math.max(1, n) - 1);\n",
    "  values.forEach((v, i) => s.append(svg('rect', { x: x(i) - wide / 2, y: y(v), width: wide, height: ",
    "Math.max(0, h - 20 - y(v)), fill: 'var(' + colour + ')' })));\n",
    "  if (line) { s.append(svg('line', { x1: left, x2: w - 6, y1: y(line), y2: y(line), stroke: ",
    "'var(--mark)', 'stroke-dasharray': '4 4' }));\n",
    "    write(w - 6, y(line) - 4, 'theta ' + line, 'end'); }\n",
    "  write(left - 6, y(most) + 4, most.toFixed(most < 10 ? 1 : 0), 'end'); write(left - 6, h - 20, ",
    "'0', 'end');\n",
    "  if (n) { write(left, h - 4, num(steps[0].position), 'start'); write(w - 6, h - 4, 'position ' + ",
    "num(steps[n - 1].position), 'end'); }\n",
    "  const cursor = svg('line', { x1: -9, x2: -9, y1: 8, y2: h - 20, stroke: 'var(--ink)', class: ",
    "'cursor' }); cursor.at = x;\n",
    "  s.append(cursor);\n",
    "  s.addEventListener('pointermove', e => { const r = s.getBoundingClientRect(), i = ",
    "Math.floor(((e.clientX - r.left) / r.width * w - left) / (w - left - 6) * n);\n",
    "    if (i >= 0 && i < n) pick(i); });\n",
    "  $(box).append(s);\n",
    "}\n",
    "\n",
    "function parameters() {\n",
    "  const run = steps.length && steps[0].run && typeof steps[0].run === 'object' ? steps[0].run : {};\n",
    "  const names = Object.keys(run).slice(0, 40);\n",
    "  names.forEach(k => { const d = make('div'); d.append(make('dt', k), make('dd', ",
    "Number.isFinite(run[k]) && !Number.isInteger(run[k]) ? Number(run[k].toPrecision(6)) : String(run[k])));\n",
    "    $('run').append(d); });\n",
    "  if (!names.length) $('run').append(make('dd', 'The trace does not tell them.'));\n",
    "  return Number.isFinite(run.theta) ? Number(run.theta.toPrecision(6)) : 0;\n",
    "}\n",
    "\n",
    "summary(); text();\n",
    "const theta = parameters();\n",
    "chart('entropy', steps.map(s => Math.max(0, num(s.entropy))), '--reframed', theta, 'entropy along ",
    "the text');\n",
    "chart('cost', steps.map(s => Math.max(0, num(s.passes))), '--vanilla', 0, 'passes along the text');\n",
    "</script></body></html>\n",
};

/* The trace with everything escaped that HTML could take for markup, and what a terminal would obey. Outside of strings
 * JSON has none of these, but for the tab. */
static void put_line(const char *line, size_t bytes)
{
    size_t i, n;
    for (i = 0; i < bytes; i += n) {
        uint32_t c;
        n = utf8_length(line + i, bytes - i);
        c = n ? utf8_value(line + i, n) : 0xFFFD;
        if (n == 0 || c == '<' || c == '>' || c == '&' || (c != '\t' && is_control(c))) printf("\\u%04x", (unsigned)c);
        else fwrite(line + i, 1, n, stdout);
        if (n == 0) n = 1;
    }
    putchar('\n');
}

typedef enum kind { LINE_EMPTY, LINE_OBJECT, LINE_CUT, LINE_OTHER } kind;

/* By the braces outside of strings: what else an object may hold is the page's to find out. */
static kind kind_of_line(const char *line, size_t bytes)
{
    size_t i, depth = 0;
    int in_text = 0;
    while (bytes && (line[bytes - 1] == '\r' || line[bytes - 1] == ' ')) bytes--;
    if (bytes == 0) return LINE_EMPTY;
    if (line[0] != '{') return LINE_OTHER;
    for (i = 0; i < bytes; i++) {
        if (in_text && line[i] == '\\') i++;
        else if (line[i] == '"') in_text = !in_text;
        else if (!in_text && line[i] == '{') depth++;
        else if (!in_text && line[i] == '}' && --depth == 0) return i + 1 == bytes ? LINE_OBJECT : LINE_OTHER;
    }
    return LINE_CUT;
}

/* Objects, one a line. The last may be cut off, for a program can end in the middle of it; it is left out. */
static int check_trace(const char *path, blob *trace)
{
    const char *p = trace->data, *end = p + trace->bytes, *cut = NULL;
    long number = 1, cut_number = 0, objects = 0;
    for (; p < end; number++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        kind line = kind_of_line(p, n);
        if (cut && line != LINE_EMPTY) break;
        if (line == LINE_OTHER) return complain("%s, line %ld: this is not a step of a trace", path, number);
        if (line == LINE_CUT) cut = p, cut_number = number;
        objects += line == LINE_OBJECT;
        p += n + (stop != NULL);
    }
    if (cut && p < end) return complain("%s, line %ld: this step of the trace is cut off", path, cut_number);
    if (objects == 0) return complain("%s: there are no whole steps in it", path);
    if (cut) complain("%s, line %ld: this last step is cut off, so it was left out", path, cut_number);
    if (cut) trace->bytes = (size_t)(cut - trace->data);
    return EXIT_FINE;
}

static void put_trace(const blob *trace)
{
    const char *p = trace->data, *end = p + trace->bytes;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        if (n > 0 && p[n - 1] == '\r') put_line(p, n - 1);
        else if (n > 0) put_line(p, n);
        p += n + (stop != NULL);
    }
}

int command_view(const options *o)
{
    blob trace = {NULL, 0};
    size_t i;
    int status = read_file(o->file, MOST_TEXT, &trace);
    if (status == EXIT_FINE) status = check_trace(o->file, &trace);
    for (i = 0; status == EXIT_FINE && i < sizeof page / sizeof *page; i++) {
        if (strcmp(page[i], "@DATA@") == 0) put_trace(&trace);
        else fputs(page[i], stdout);
    }
    free(trace.data);
    return status;
}
