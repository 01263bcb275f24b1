// Validates an AsyncAPI document with the official parser, and its examples against their own schemas.
//
//   python -m quart_app.web.asyncapi | node tests/asyncapi/validate.mjs
//   node tests/asyncapi/validate.mjs asyncapi.json
//
// Exit status: 0 valid, 1 something is wrong with it, 2 it could not be read.

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import Ajv from "ajv";

const SEVERITIES = ["error", "warning", "information", "hint"];
const WARNING = 1;

function read(path) {
  try {
    return readFileSync(path ?? 0, "utf8");
  } catch (error) {
    console.error(`cannot read ${path ?? "stdin"}: ${error.message}`);
    process.exit(2);
  }
}

// The parser does not look at the examples of version 3 documents.
function badExamples(document) {
  const ajv = new Ajv({ strict: false, allErrors: true }).addSchema(document, "document");
  const found = [];
  for (const [name, message] of Object.entries(document.components.messages)) {
    const validate = ajv.compile({ $ref: `document${message.payload.$ref}` });
    for (const [index, example] of (message.examples ?? []).entries()) {
      if (!validate(example.payload)) {
        const path = ["components", "messages", name, "examples", index];
        found.push({ severity: 0, code: "example", path, message: ajv.errorsText(validate.errors) });
      }
    }
  }
  return found;
}

const source = read(process.argv[2]);
const { document, diagnostics } = await new Parser().parse(source);
const problems = document ? [...diagnostics, ...badExamples(JSON.parse(source))] : diagnostics;
for (const { severity, code, path, message } of problems) {
  console.log(`${SEVERITIES[severity]}  #/${path.join("/")}  ${message} (${code})`);
}
if (document === undefined || problems.some(({ severity }) => severity <= WARNING)) {
  console.error("the document is not valid");
  process.exit(1);
}
const counts = `${document.allOperations().length} operations, ${document.allMessages().length} messages`;
console.log(`valid AsyncAPI ${document.version()}: ${counts}`);
