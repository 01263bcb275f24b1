#!/usr/bin/env node
// TypeScript declarations of what a server takes and sends, from its AsyncAPI document.
//
//   npx busctl-client types https://jobs.example/asyncapi.json > src/jobs.d.ts
//
// Exit status: 0 done, 1 the document cannot be read or used, 2 wrong usage.

import { readFileSync } from "node:fs";
import { NO_DOCUMENT, typesOf } from "./types.js";

const USAGE = `usage: busctl-client types [URL or file]

Prints TypeScript declarations of the jobs and frames of a server, from its AsyncAPI document,
such as http://127.0.0.1:8000/asyncapi.json.
Without a URL or file it reads standard input.`;

const HINT = "It needs the package json-schema-to-typescript: npm install --save-dev json-schema-to-typescript";

async function read(source) {
  if (/^https?:/.test(source ?? "")) {
    const response = await fetch(source);
    if (!response.ok) {
      throw new Error(`${source} answers with ${response.status} ${response.statusText}`);
    }
    return response.text();
  }
  return readFileSync(source ?? 0, "utf8");
}

function reasonOf(error) {
  if (error instanceof SyntaxError) {
    return NO_DOCUMENT; // nor JSON of any other kind
  }
  return error.code === "ERR_MODULE_NOT_FOUND" ? HINT : (error.cause?.message ?? error.message);
}

const [command, source, ...rest] = process.argv.slice(2);
if (command === "--help" || command === "-h") {
  console.log(USAGE);
} else if (command !== "types" || rest.length) {
  console.error(USAGE);
  process.exitCode = 2;
} else {
  try {
    process.stdout.write(await typesOf(JSON.parse(await read(source))));
  } catch (error) {
    console.error(`error: ${source ?? "standard input"}: ${reasonOf(error)}`);
    process.exitCode = 1;
  }
}
