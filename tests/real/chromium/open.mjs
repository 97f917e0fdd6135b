// open.mjs PAGE EVENTS: headless Chromium opens a report's page, which must tell nothing on its console, hold a point for each of at
// least so many events, and show what is behind one when it is walked to by key. Prints how long it took to load and to be drawn.
import { pathToFileURL } from "node:url"
import { withPage } from "./browser.mjs"

const [file, least] = process.argv.slice(2)

// In the page. Two frames after the load everything was drawn once.
const look = `(async () => {
  const frame = () => new Promise((drawn) => requestAnimationFrame(drawn))
  await frame()
  await frame()
  const drawn = performance.now()
  const [{ loadEventEnd }] = performance.getEntriesByType("navigation")
  const details = [...document.querySelectorAll("figure script")].flatMap((script) => JSON.parse(script.textContent))
  const scroll = document.querySelector("figure .scroll")
  scroll.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true, cancelable: true }))
  return {
    loadEventEnd,
    drawn,
    points: document.querySelectorAll("figure svg .p").length,
    events: details.filter(([, , text]) => text.startsWith("event ")).length,
    shown: document.querySelector("figure .detail").textContent,
  }
})()`

withPage(async ({ tell, hear }) => {
  const said = []
  hear((method, params) => {
    if (method === "Runtime.consoleAPICalled") said.push(params.args.map(({ value, description }) => value ?? description).join(" "))
    if (method === "Runtime.exceptionThrown") said.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text)
    if (method === "Log.entryAdded") said.push(params.entry.text)
  })
  await Promise.all(["Runtime.enable", "Log.enable", "Page.enable"].map((method) => tell(method)))
  const loaded = new Promise((resolve) => hear((method) => method === "Page.loadEventFired" && resolve()))
  const { errorText } = await tell("Page.navigate", { url: pathToFileURL(file).href })
  if (errorText) throw new Error(`${file}: ${errorText}`)
  await loaded
  const { result, exceptionDetails } = await tell("Runtime.evaluate", { expression: look, awaitPromise: true, returnByValue: true })
  if (exceptionDetails) throw new Error(`${file}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`)
  const page = result.value
  if (said.length > 0) throw new Error(`${file}: its console says: ${said.join("; ")}`)
  if (page.events < Number(least) || page.points < page.events) {
    throw new Error(`${file}: ${page.events} events and ${page.points} points, not ${least} events`)
  }
  if (!/^\d+\.\d{3} ms · /.test(page.shown)) throw new Error(`${file}: a point that is walked to is not shown: ${page.shown}`)
  console.log(`chromium: ${page.events} events, ${page.points} points: loaded in ${Math.round(page.loadEventEnd)} ms, drawn after ${Math.round(page.drawn)} ms, nothing on the console`)
})
