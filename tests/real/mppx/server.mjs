// server.mjs PORT DIR: mppx's metered streams over HTTP. The chain (/chain) runs in the same process; both keep their state in DIR.
import { EventEmitter, once } from "node:events"
import { mkdirSync } from "node:fs"
import http from "node:http"
import { join, resolve } from "node:path"
import { CHAIN, open as openChain } from "./chain.mjs"
import { append, lines, read, write } from "./files.mjs"
import { installed } from "./package.mjs"
import { account, client, CURRENCY } from "./wallet.mjs"

const { Expires, Mppx, Request: Requests, tempo } = await installed("mppx/server")

const [port, folder] = process.argv.slice(2)
const dir = resolve(folder)
mkdirSync(dir, { recursive: true })
const chain = openChain(join(dir, "chain.json"))
const payee = account("22")
const payeeClient = client(payee, `http://127.0.0.1:${port}/chain`)

/** The store that mppx asks for, in one file: single process, durable against SIGKILL. */
const storeFile = join(dir, "store.json")
const kept = read(storeFile, {})
const keep = () => write(storeFile, kept)
const store = {
  get: async (key) => structuredClone(kept[key] ?? null),
  put: async (key, value) => { kept[key] = value; keep() },
  delete: async (key) => { delete kept[key]; keep() },
  update: async (key, change) => {
    const { op, value, result } = change(structuredClone(kept[key] ?? null))
    if (op === "set") kept[key] = value
    if (op === "delete") delete kept[key]
    if (op === "set" || op === "delete") keep()
    return result
  },
}

/** The newest open channel of the payer `source` (a DID): what bootstrap restores. */
const resolveChannelId = async ({ source }) =>
  Object.values(kept).filter((c) => c?.payer && !c.finalized && source?.toLowerCase().endsWith(c.payer.toLowerCase())).at(-1)?.channelId

const mppx = Mppx.create({
  realm: "streamspec.test",
  secretKey: "a key that guards nothing, 32 bytes or more",
  methods: [
    tempo.session({
      account: payee, recipient: payee.address, chainId: CHAIN, currency: CURRENCY, decimals: 0, store, sse: true, bootstrap: true,
      getClient: () => payeeClient, resolveChannelId,
    }),
  ],
})

/** Streams by name: items (texts) in order, `end`ed or not. */
const streams = {}
const streamFile = (name) => join(dir, `stream-${encodeURIComponent(name)}.ndjson`)
const stream = (name) => (streams[name] ??= lines(streamFile(name))?.reduce(extended, { items: [] }))
/** A stream with what one request adds to it. */
const extended = ({ items }, { items: more = [], end = false, fail }) => {
  for (const item of more) items.push(item)
  return { items, end, fail }
}
const news = new EventEmitter().setMaxListeners(0)
let waiting = 0 // streams that wait for a charge
const runs = {} // content handlers that ran, by path

async function* items(name, from, signal) {
  for (let n = from; ; n += 1) {
    while (n >= stream(name).items.length) {
      if (stream(name).fail) throw new Error(stream(name).fail)
      if (stream(name).end) return
      await once(news, name, { signal })
    }
    yield stream(name).items[n]
  }
}

/** What a paid handler may answer instead of a stream. */
const answers = {
  json200: () => Response.json({ ok: true }),
  json500: () => Response.json({ error: "out of order" }, { status: 500 }),
  stream500: () => new Response("event: message\ndata: out of order\n\n", { status: 500, headers: { "content-type": "text/event-stream" } }),
}

async function handle(request) {
  const { pathname, searchParams } = new URL(request.url)
  const [, kind, name] = pathname.split("/")
  if (kind === "chain") return new Response(chain.answer(await request.text()), { headers: { "content-type": "application/json" } })
  if (kind === "health") return Response.json({ status: "ok" })
  if (kind === "accounts" && name) {
    const found = channels().find((c) => c.channelId.toLowerCase() === name.toLowerCase())
    return found ? Response.json({ ...found, waiting }) : new Response("no such channel\n", { status: 404 })
  }
  if (kind === "accounts") return Response.json({ channels: channels(), transactions: chain.state.transactions, runs })
  if (kind === "items" && request.method === "POST") {
    const more = await request.json()
    const before = stream(name) ?? { items: [] }
    if (before.end || before.fail) return new Response("the stream has ended\n", { status: 409 })
    append(streamFile(name), more)
    streams[name] = extended(before, more)
    news.emit(name)
    return Response.json({ items: streams[name].items.length }, { status: 201 })
  }
  if (kind === "stream" && stream(name) === undefined) return new Response("no such stream\n", { status: 404 })
  if (kind === "answer" && !(name in answers)) return new Response("no such answer\n", { status: 404 })
  if (kind !== "stream" && kind !== "answer") return new Response("not found\n", { status: 404 })

  const expires = searchParams.get("expires")
  const price = { amount: "1", unitType: "item", suggestedDeposit: searchParams.get("deposit") ?? "100", ...(expires && { expires: Expires.seconds(Number(expires)) }) }
  const paid = await mppx.session(price)(request)
  if (paid.status === 402) return paid.challenge
  if (kind === "answer") {
    const response = () => { runs[pathname] = (runs[pathname] ?? 0) + 1; return answers[name]() }
    return searchParams.has("receipt") ? paid.withReceipt(response()) : response()
  }
  if (request.method !== "GET") return paid.withReceipt(new Response(null, { status: 204 }))
  return paid.withReceipt(async function* (meter) {
    runs[pathname] = (runs[pathname] ?? 0) + 1
    for await (const item of items(name, Number(searchParams.get("from") ?? 0), meter.signal)) {
      waiting += 1
      await meter.charge().finally(() => { waiting -= 1 })
      yield item
    }
  })
}

function channels() {
  const all = Object.entries(kept).filter(([, c]) => c?.channelId)
  return all.map(([id, c]) => ({
    channelId: id, acceptedCumulative: `${c.highestVoucherAmount}`, spent: `${c.spent}`, units: c.units, deposit: `${c.deposit}`,
    settled: `${c.settledOnChain}`, finalized: c.finalized, closing: `${c.closeRequestedAt}` !== "0",
  }))
}

// A stream that fails rejects a promise of mppx that nobody waits for, which ends a Node process. ALONE=1 leaves it so.
if (process.env.ALONE !== "1") process.on("unhandledRejection", (error) => console.error(`unhandled: ${error.message}`))
const server = http.createServer(Requests.toNodeListener(handle))
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => { server.close(() => process.exit(0)); server.closeAllConnections() })
}
server.listen(Number(port), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
