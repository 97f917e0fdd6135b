// payer.mjs CHAIN [FILE]: mppx's own client, driven by JSON lines on stdin, answering by JSON lines on stdout.
// CHAIN is the address of the chain (http://127.0.0.1:PORT/chain); FILE keeps the client's channels over restarts.
//
//   {"do":"hello","run":R}                    {"ready":true}
//   {"do":"subscribe","conn":n,"reader":T,"url":U,"headers":{}}
//                                             {"conn":n,"data":text}… then {"conn":n,"end":true}, or {"conn":n,"error":text}; the
//                                             receipt is an event, too. Each reader has a client, and a key made of R and its name.
//   {"do":"close","conn":n}                   the reader leaves
//   {"do":"stream","url":U,"headers":{}}      {"item":text}… then {"receipt":{…}} and {"end":true}, or {"error":text}
//   {"do":"fetch","url":U}                    {"status":n,"type":text,"body":text}
//   {"do":"state"}                            {"opened":bool,"channelId":text,"cumulative":text,"state":{…}}
//   {"do":"settle"}                           {"closed":receipt}
//   {"do":"sign","key":B,"challenge":H,"action":A,"amount":n,"deposit":n,"channelId":I,"descriptor":{…}}
//                                             {"authorization":text,"payload":{…}}: one credential for the WWW-Authenticate header H,
//                                             sent by nobody. A is open, voucher, topUp, close or proof (zero-amount identity).
// Environment: KEY, a byte in hex, is the payer's key (default 11); BOOTSTRAP=1 restores by HEAD; MAX_DEPOSIT (default 100).
import { createHash } from "node:crypto"
import { createInterface } from "node:readline"
import { CHAIN } from "./chain.mjs"
import { read, write } from "./files.mjs"
import { installed } from "./package.mjs"
import { account, client } from "./wallet.mjs"

const { createJsonChannelStore, tempo } = await installed("mppx/client")
const { Challenge, Credential } = await installed("mppx")
const ChannelOps = await installed("mppx", "dist/tempo/session/client/ChannelOps.js")

const [chain, file] = process.argv.slice(2)
const payer = account(process.env.KEY ?? "11")
const payerClient = client(payer, chain)
const maxDeposit = process.env.MAX_DEPOSIT ?? "100"
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

const kept = file ? read(file, {}) : {}
const change = (edit) => { edit(); if (file) write(file, kept) }
const channelStore = createJsonChannelStore({
  get: (key) => kept[key],
  set: (key, value) => change(() => { kept[key] = value }),
  delete: (key) => change(() => { delete kept[key] }),
})
const manager = (payer, payerClient, more) => tempo.session.manager({ account: payer, client: payerClient, decimals: 0, maxDeposit, ...more })
const session = manager(payer, payerClient, { bootstrap: process.env.BOOTSTRAP === "1", channelStore })
const opener = (payer, payerClient) => tempo.session({ account: payer, decimals: 0, maxDeposit: "1000000000", getClient: () => payerClient }) // knows no channel: always opens
const prover = (payer, payerClient) => tempo.charge({ account: payer, getClient: () => payerClient })

/** Signs what it is told, also what the client itself would refuse to sign: for requests that a server has to refuse. */
async function credential(challenge, action, { key, amount, deposit, channelId, descriptor }) {
  const payer = account(key ?? process.env.KEY ?? "11")
  const payerClient = client(payer, chain)
  if (action === "proof") return prover(payer, payerClient).createCredential({ challenge, context: {} })
  if (action === "open") return opener(payer, payerClient).createCredential({ challenge, context: { depositRaw: deposit && `${deposit}` } })
  const payload =
    action === "topUp"
      ? await ChannelOps.createTopUpPayload(payerClient, payer, descriptor, BigInt(deposit), CHAIN)
      : await (action === "close" ? ChannelOps.createClosePayload : ChannelOps.createVoucherPayload)(payerClient, payer, descriptor, BigInt(amount), CHAIN)
  return ChannelOps.serializeCredential(challenge, channelId ? { ...payload, channelId } : payload, CHAIN, payer)
}

/** The readers of a run: each has a key that no other run has, so that no account of another one is found for it. */
const readers = {}
let run = ""
const reader = (name) => {
  if (!readers[name]) {
    const key = account(createHash("sha256").update(`${run} ${name}`).digest("hex"))
    readers[name] = manager(key, client(key, chain))
  }
  return readers[name]
}
/** How to leave each connection that is open. */
const leaving = {}

const commands = {
  async hello(greeting) {
    run = greeting.run ?? ""
    say({ ready: true })
  },
  async subscribe({ conn, reader: name, url, headers }) {
    const leave = (leaving[conn] = new AbortController())
    let receipt
    try {
      for await (const data of await reader(name).sse(url, { headers, signal: leave.signal, onReceipt: (last) => { receipt = last } })) say({ conn, data })
      if (receipt) say({ conn, event: "payment-receipt", data: JSON.stringify(receipt) })
      say({ conn, end: true })
    } catch (error) {
      say({ conn, error: error.message || `${error}` })
    } finally {
      delete leaving[conn]
    }
  },
  async stream({ url, headers }) {
    const items = await session.sse(url, { headers, onReceipt: (receipt) => say({ receipt }) })
    for await (const item of items) say({ item })
    say({ end: true })
  },
  async fetch({ url, ...init }) {
    const response = await session.fetch(url, init)
    say({ status: response.status, type: response.headers.get("content-type"), body: await response.text() })
  },
  async state() {
    say({ opened: session.opened, channelId: session.channelId, cumulative: `${session.cumulative}`, state: session.state })
  },
  async close({ conn }) {
    leaving[conn]?.abort()
  },
  async settle() {
    say({ closed: (await session.close()) ?? null })
  },
  async sign({ challenge: header, action, ...what }) {
    const challenge = Challenge.deserialize(header)
    const authorization = await credential(challenge, action, what)
    say({ authorization, payload: Credential.deserialize(authorization).payload })
  },
}

// One command after another; streams run on while later ones are read.
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  const done = commands[command.do](command).catch((error) => say({ error: error.message }))
  if (command.do !== "stream" && command.do !== "subscribe") await done
}
