// watch.mjs SERVER FOLDER: headless Chromium watches a session of the reference server at SERVER through an EventSource, told by
// its DevTools protocol. What its Network domain says becomes two HAR 1.2 files in FOLDER: bytes.har has the bodies as they
// came, events.har only the events as they were dispatched, as the browser's own export has them.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { withPage } from "./browser.mjs"

const [server, folder] = process.argv.slice(2)

// Requests of the page's EventSource, by the browser's ids.
const requests = new Map()
const waiting = []
const until = (what) => new Promise((resolve) => (what() ? resolve() : waiting.push({ what, resolve })))
const settle = () => {
  for (const one of waiting.splice(0)) one.what() ? one.resolve() : waiting.push(one)
}

withPage(async ({ tell, hear }) => {
  const streamed = []
  hear((method, params) => {
    const of = requests.get(params.requestId)
    if (method === "Network.requestWillBeSent" && params.type === "EventSource") {
      requests.set(params.requestId, { request: params.request, at: params.timestamp, wall: params.wallTime, events: [], pieces: [] })
    } else if (method === "Network.requestWillBeSentExtraInfo" && of) {
      of.request.headers = params.headers
    } else if (method === "Network.responseReceived" && of) {
      of.response = params.response
      // From here on the bytes are told as they come, after those that came already.
      const asked = tell("Network.streamResourceContent", { requestId: params.requestId })
      streamed.push(asked.then(({ bufferedData }) => bufferedData && of.pieces.unshift(bufferedData), (error) => (of.unstreamed = error.message)))
    } else if (method === "Network.dataReceived" && of) {
      if (params.data) of.pieces.push(params.data)
    } else if (method === "Network.eventSourceMessageReceived" && of) {
      of.events.push(params)
    } else if (["Network.loadingFinished", "Network.loadingFailed"].includes(method) && of) {
      of.over = true
    }
    settle()
  })
  await tell("Network.enable")
  await tell("Page.enable")
  // An EventSource of the server's own origin needs no permission of another.
  const loaded = new Promise((resolve) => hear((method) => method === "Page.loadEventFired" && resolve()))
  await tell("Page.navigate", { url: `${server}/health` })
  await loaded

  const post = async (path, body) => {
    const answer = await fetch(server + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  }
  const publish = (data) => post("/sessions/watched/events", { type: "message", data })
  const seen = (data) => [...requests.values()].some(({ events }) => events.some((event) => event.data.includes(data)))
  await post("/sessions", { id: "watched" })
  await publish("before")
  const listen = "window.source = new EventSource('/sessions/watched/events')"
  await tell("Runtime.evaluate", { expression: listen })
  // Behind `ready` the reader is live, so each of these is sent to it as it is published.
  await until(() => [...requests.values()].some(({ events }) => events.some((event) => event.eventName === "ready")))
  for (let nth = 1; nth <= 12; nth++) {
    await publish(`word ${nth}.`)
    await until(() => seen(`word ${nth}.`))
  }
  await post("/sessions/watched/close", {})
  // The stream ends, the browser asks again, and 204 says that there is no more.
  await until(() => [...requests.values()].some(({ response }) => response?.status === 204))
  await Promise.all(streamed)

  const pairs = (headers) => Object.entries(headers ?? {}).flatMap(([name, value]) => value.split("\n").map((value) => ({ name, value })))
  const entry = ({ request, response, at, wall, events, pieces }, bytes) => ({
    startedDateTime: new Date(wall * 1000).toISOString(),
    time: 0,
    request: { method: request.method, url: request.url, httpVersion: "HTTP/1.1", headers: pairs(request.headers), queryString: [], cookies: [], headersSize: -1, bodySize: 0 },
    response: {
      status: response?.status ?? 0,
      statusText: response?.statusText ?? "",
      httpVersion: "HTTP/1.1",
      headers: pairs(response?.headers),
      cookies: [],
      redirectURL: "",
      headersSize: -1,
      bodySize: -1,
      content: {
        size: 0,
        mimeType: response?.mimeType ?? "",
        ...(bytes && pieces.length > 0 && { encoding: "base64", text: Buffer.concat(pieces.map((piece) => Buffer.from(piece, "base64"))).toString("base64") }),
      },
    },
    cache: {},
    timings: { send: 0, wait: 0, receive: 0 },
    ...(!bytes && { _eventSourceMessages: events.map(({ timestamp, eventName, eventId, data }) => ({ time: wall + (timestamp - at), eventName, eventId, data })) }),
  })
  for (const [name, bytes] of [["bytes.har", true], ["events.har", false]]) {
    const entries = [...requests.values()].filter(({ response }) => response).map((one) => entry(one, bytes))
    writeFileSync(join(folder, name), JSON.stringify({ log: { version: "1.2", creator: { name: "watch.mjs", version: "1" }, pages: [], entries } }, null, 1))
  }
  const all = [...requests.values()]
  const events = all.reduce((sum, { events }) => sum + events.length, 0)
  const received = all.reduce((sum, { pieces }) => sum + pieces.reduce((sum, piece) => sum + Buffer.from(piece, "base64").length, 0), 0)
  console.log(`chromium: ${all.length} requests, ${events} events, ${received} bytes of bodies`)
  for (const { unstreamed, events } of all) if (unstreamed && events.length > 0) console.log(`chromium: a body was not told: ${unstreamed}`)
})
