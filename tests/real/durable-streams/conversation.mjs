// conversation.mjs URL: a conversation of the package's client with a server at URL, every step behind what it waits for: a
// stream is created, written to before and while it is read by SSE, left, read on from where it was left, and closed.
import { createRequire } from "node:module"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"

const require = createRequire(join(resolve(process.env.DURABLE_STREAMS), "package.json"))
const { DurableStream, stream } = await import(pathToFileURL(require.resolve("@durable-streams/client")))

const url = `${process.argv[2].replace(/\/$/, "")}/conversation`
const append = (handle, text) => handle.append(JSON.stringify({ text }))

// Reads until as many messages came as are asked for, or the stream is closed; the offset behind the last one.
const read = async (offset, { upto = Infinity, ready = () => {} } = {}) => {
  const stop = new AbortController()
  const response = await stream({ url, offset, live: "sse", signal: stop.signal })
  const seen = []
  let last = offset
  await new Promise((done) => {
    response.subscribeJson(async (batch) => {
      seen.push(...batch.items.map((item) => item.text))
      last = batch.offset
      ready(seen.length)
      if (seen.length >= upto) done()
    })
    response.closed.then(done, done)
  })
  stop.abort()
  await response.closed.catch(() => {})
  return { seen, last }
}

const handle = await DurableStream.create({ url, contentType: "application/json" })
await append(handle, "written before anybody reads")
await append(handle, "and once more")

// Each message is written when the one before was read.
let written = 0
const live = ["the same", "the same", "and another"]
const first = await read("-1", { upto: 5, ready: (count) => written < live.length && count === 2 + written && append(handle, live[written++]) })
await append(handle, "written while nobody reads")
let closing
const second = read(first.last, { ready: () => (closing ??= handle.close()) })
const all = [...first.seen, ...(await second).seen]

const expected = ["written before anybody reads", "and once more", ...live, "written while nobody reads"]
if (JSON.stringify(all) !== JSON.stringify(expected)) {
  console.error(`read ${JSON.stringify(all)}`)
  process.exit(1)
}
console.log(`${all.length} messages`)
