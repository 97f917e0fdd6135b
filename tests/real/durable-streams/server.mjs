// server.mjs PORT DIR: the package's own server with file storage, nothing added. LONG_POLL_MS: how long a long-poll waits
// (and how often a reader by SSE is told that it is up to date); default: the server's, 30 s.
import { createRequire } from "node:module"
import { mkdirSync } from "node:fs"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"

const require = createRequire(join(resolve(process.env.DURABLE_STREAMS), "package.json"))
const { DurableStreamTestServer } = await import(pathToFileURL(require.resolve("@durable-streams/server")))

const [port, dir] = process.argv.slice(2)
const wait = process.env.LONG_POLL_MS
mkdirSync(dir, { recursive: true })
const server = new DurableStreamTestServer({ port: Number(port), host: "127.0.0.1", dataDir: resolve(dir), ...(wait && { longPollTimeout: Number(wait) }) })
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => server.stop().then(() => process.exit(0)))
}
console.log(`listening on ${await server.start()}`)
