// server.mjs PORT DIR: the package's own server with file storage, nothing added.
import { createRequire } from "node:module"
import { mkdirSync } from "node:fs"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"

const require = createRequire(join(resolve(process.env.DURABLE_STREAMS), "package.json"))
const { DurableStreamTestServer } = await import(pathToFileURL(require.resolve("@durable-streams/server")))

const [port, dir] = process.argv.slice(2)
mkdirSync(dir, { recursive: true })
const server = new DurableStreamTestServer({ port: Number(port), host: "127.0.0.1", dataDir: resolve(dir) })
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => server.stop().then(() => process.exit(0)))
}
console.log(`listening on ${await server.start()}`)
