// form_check.mjs - answers that test_form generated: JSON.parse reads them, and ajv finds them in their schemas
//
//     build/test_form generate MODEL.harp 1000 1 > lines && NODE_PATH=build/node/node_modules node tests/form_check.mjs lines
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
let Ajv, addFormats;
for (const folder of [...(process.env.NODE_PATH || "").split(":"), "build/node/node_modules"].filter(Boolean))
    try {
        Ajv ??= require(require.resolve("ajv/dist/2020", { paths: [folder + "/.."] })).default;
        addFormats ??= require(require.resolve("ajv-formats", { paths: [folder + "/.."] })).default;
    } catch { }
if (!Ajv || !addFormats) console.log("skipped: no ajv and ajv-formats in build/node; JSON.parse alone looks at the answers");

let passed = 0, failed = 0;
const bad = (line, why) => { failed++; console.log("FAILED", why, line); };
for (const line of readFileSync(process.argv[2], "utf8").split("\n").filter(Boolean)) {
    const { schema, text } = JSON.parse(line);
    let value;
    try { value = JSON.parse(text); } catch (e) { bad(line, e.message); continue; }
    if (Ajv && addFormats) {
        const ajv = new Ajv({ strict: false, allErrors: false });
        addFormats(ajv);
        const valid = ajv.compile(schema);
        if (!valid(value)) { bad(line, JSON.stringify(valid.errors)); continue; }
    }
    passed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
