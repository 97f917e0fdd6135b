// How a team that uses vitest holds its own server to its promises: `npm install --save-dev streamspec vitest`, then `npx vitest run`.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const server = fileURLToPath(new URL("server.mjs", import.meta.url));
const profile = fileURLToPath(new URL("../rooms.toml", import.meta.url));
const run = promisify(execFile);
const patience = 180_000;

// streamspec starts the server itself, so that it can also kill it; without --only it runs all that applies.
test("nothing is lost when connections break", { timeout: patience }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "rooms-"));
  try {
    const junit = join(folder, "streamspec.xml");
    const what = ["--start", `${process.execPath} ${server} {port}`, "--profile", profile, "--only", "RESUME", "--only", "SEAM"];
    const ended = await run("streamspec", ["test", ...what, "--report", `junit=${junit}`]).catch((failed) => failed);
    expect(ended.code ?? 0, ended.stdout + ended.stderr).toBe(0);
    expect(await readFile(junit, "utf8")).toMatch(/<testsuites [^>]*failures="0"/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

// The fault proxy alone, for a team's own client: the stream is reset behind the next `done` event.
test("a client resumes behind the event after which it was cut", { timeout: patience }, async () => {
  const rooms = await program(/listening on (\S+)/, process.execPath, server, "0");
  const proxy = await program(/listening on (\S+) .* faults at (\S+)/, "streamspec", "proxy", "--upstream", rooms.said[0]);
  const [url, faults] = proxy.said;
  try {
    await post(faults, { cut: { at: { after_frame: { event_type: "done" } }, how: "rst" } });
    for (const [type, text] of [["said", "one"], ["done", "two"], ["said", "three"]]) await post(`${rooms.said[0]}/rooms/r`, { type, text });
    const seen = [];
    let connections = 0;
    while (seen.length < 3) {
      connections += 1;
      for await (const event of read(`${url}/rooms/r`, seen.at(-1)?.id)) {
        if (seen.push(event) === 3) break;
      }
    }
    expect(seen).toEqual(["one", "two", "three"].map((text, nth) => ({ id: String(nth + 1), text })));
    expect(connections, "it was cut once").toBe(2);
  } finally {
    await proxy.end();
    await rooms.end();
  }
});

// Runs a program; what it says in its first line.
async function program(says, ...[command, ...words]) {
  const running = spawn(command, words, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const piece of running.stdout.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
    text += piece;
    if (text.includes("\n")) break;
  }
  const said = says.exec(text);
  if (!said) throw new Error(`${command} said: ${text}`);
  return { said: said.slice(1), end: () => running.kill() && once(running, "exit") };
}

async function post(url, value) {
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(value) });
  expect(answer.status).toBe(201);
}

// Yields { id, text } of each event until the connection breaks.
async function* read(url, cursor) {
  const { body } = await fetch(url, { headers: cursor ? { "Last-Event-ID": cursor } : {} });
  let text = "";
  try {
    for await (const piece of body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
        const fields = Object.fromEntries(text.slice(0, end).split("\n").map((line) => line.split(/: (.*)/s)));
        if (fields.data) yield { id: fields.id, text: JSON.parse(fields.data).text };
      }
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // fetch's word for a connection that broke
  }
}
