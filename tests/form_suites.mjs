// form_suites.mjs - the official JSON-Schema-Test-Suite, and llama.cpp's tests of grammars, as cases for test_form
//
//     node tests/form_suites.mjs schema FOLDER/tests/draft2020-12 > cases
//     node tests/form_suites.mjs gbnf LLAMA_CPP_FOLDER > cases
import { readFileSync, readdirSync } from "node:fs";

const out = [];
function put(letter, text) {
    const bytes = Buffer.from(text);
    out.push(Buffer.from(letter + bytes.length + "\n"), bytes, Buffer.from("\n"));
}

// A JSON text's values as they are written: the elements of an array, or the members of an object.
function parts(text) {
    const found = [];
    let depth = 0, inString = false, begin = 1;
    for (let i = 0; i < text.length; i++) {
        const x = text[i];
        if (inString) {
            if (x === "\\") i++;
            else if (x === '"') inString = false;
        } else if (x === '"') inString = true;
        else if (x === "[" || x === "{") {
            if (++depth === 1) begin = i + 1;
        } else if (x === "]" || x === "}") {
            if (--depth === 0 && text.slice(begin, i).trim()) found.push(text.slice(begin, i));
        } else if (x === "," && depth === 1) {
            found.push(text.slice(begin, i));
            begin = i + 1;
        }
    }
    return found;
}
function members(text) {
    const object = {};
    for (const part of parts(text)) {
        const name = /^\s*"((?:[^"\\]|\\.)*)"\s*:/.exec(part);
        object[name[1]] = part.slice(name[0].length).trim();
    }
    return object;
}

// Formats are assertions here, and these files want them to be notes; half surrogate pairs are no characters.
const notes = new Set(["format.json"]);
function suite(folder) {
    for (const file of readdirSync(folder).filter(f => f.endsWith(".json")).sort()) {
        if (notes.has(file)) continue;
        put("T", file.replace(".json", ""));
        for (const group of parts(readFileSync(folder + "/" + file, "utf8"))) {
            const g = members(group);
            put("S", g.schema);
            for (const test of parts(g.tests)) {
                const t = members(test);
                put(t.valid === "true" ? "Y" : "N", t.data);
            }
        }
    }
}

// C++ of llama.cpp's tests: raw strings R"""(...)""" and ordinary ones, in the order in which they stand.
function strings(text) {
    const found = [];
    const pattern = /R"""\(([\s\S]*?)\)"""|"((?:[^"\\]|\\.)*)"|(\/\/[^\n]*)|([{}])/g;
    for (let m; (m = pattern.exec(text));) {
        if (m[3] !== undefined) continue;
        if (m[4]) found.push(m[4]);
        else found.push({ text: m[1] !== undefined ? m[1] : JSON.parse('"' + m[2].replace(/\\x([0-9a-fA-F]{2})/g, "\\u00$1").replace(/\\'/g, "'") + '"') });
    }
    return found;
}
function calls(text, name) {
    const found = [];
    for (const piece of text.split(name + "(").slice(1)) found.push(piece.slice(0, piece.indexOf("\n    );")));
    return found;
}
// Of its schemas only what must be accepted: it refuses what JSON Schema allows, such as other orders of properties.
function gbnf(folder) {
    for (const f of readdirSync(folder + "/grammars").filter(f => f.endsWith(".gbnf"))) {
        put("T", f);
        put("G", readFileSync(folder + "/grammars/" + f, "utf8"));
    }
    const source = readFileSync(folder + "/tests/test-grammar-integration.cpp", "utf8").replace(/static void test_grammar\([^]*?\n}/, "").replace(/static void test_schema\([^]*?\n}/, "");
    for (const [name, letter] of [["test_grammar", "G"], ["test_schema", "S"]])
        for (const call of calls(source, "    " + name)) {
            const s = strings(call);
            put("T", (letter === "G" ? "grammar " : "schema ") + s[0].text);
            put(letter, s[1].text);
            let list = 0;
            for (const x of s.slice(2))
                if (x === "{") list++;
                else if (x !== "}" && (list === 1 || letter === "G")) put(list === 1 ? "Y" : "N", x.text);
        }
}

const [what, folder] = process.argv.slice(2);
what === "gbnf" ? gbnf(folder) : suite(folder);
process.stdout.write(Buffer.concat(out));
