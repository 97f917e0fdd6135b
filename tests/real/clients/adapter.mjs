// What the JavaScript adapters share: what streamspec tells a client, and how it hears from it.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const installed = process.env.CLIENTS ?? join(here, "../../../target/real/clients");

/** Loads a package from where `install` has put it. */
export const load = createRequire(join(installed, "package.json"));

/** The stream. */
export const url = process.env.STREAMSPEC_URL;

/** The caller's headers. */
export const headers = Object.fromEntries(
  (process.env.STREAMSPEC_HEADERS ?? "").split("\n").filter(Boolean).map((line) => line.split(/: (.*)/s).slice(0, 2)),
);

/** Types of events in the cases. */
export const types = ["message", "update", "end"];

/** Ends with status 127 when a case needs what this client cannot do. */
export function supports(...can) {
  const needs = (process.env.STREAMSPEC_NEEDS ?? "").split(",").filter(Boolean);
  if (needs.some((need) => !can.includes(need))) process.exit(127);
}

/** Writes a line. */
export const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

/** Calls `close` when streamspec asks for it. */
export function onClose(close) {
  if (process.env.STREAMSPEC_CONTROL !== "true") return;
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    if (!JSON.parse(line).close) return;
    lines.close();
    close();
  });
}
