// Headless Chromium, driven over --remote-debugging-pipe: messages of its DevTools protocol are JSON, each with a NUL behind it.
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Runs `use({ tell, hear })` with a page that shows nothing yet, and ends this process: 0, or 1 when it threw or took over two minutes.
 * `tell(method, params)` asks the page's target and resolves with the result; `hear(method, params)` is called with each event. */
export const withPage = (use) => {
  const profile = mkdtempSync(join(tmpdir(), "chromium-"))
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", `--user-data-dir=${profile}`]
  const browser = spawn("chromium", [...flags, "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] })
  const end = (code) => {
    browser.kill("SIGKILL")
    browser.once("exit", () => {
      rmSync(profile, { recursive: true, force: true, maxRetries: 10 })
      process.exit(code)
    })
  }
  const fail = (why) => {
    console.error(`chromium: ${why}`)
    end(1)
  }
  browser.once("error", (error) => fail(error.message))
  const patience = setTimeout(() => fail("nothing for 120 s"), 120_000)

  let last = 0
  const asked = new Map()
  const heard = []
  const send = (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      asked.set(++last, { resolve, reject })
      browser.stdio[3].write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`)
    })
  let rest = ""
  browser.stdio[4].setEncoding("utf8").on("data", (text) => {
    const messages = (rest + text).split("\0")
    rest = messages.pop()
    for (const message of messages.map((one) => JSON.parse(one))) {
      const { resolve, reject } = asked.get(message.id) ?? {}
      asked.delete(message.id)
      if (message.error) reject?.(new Error(message.error.message))
      else if (resolve) resolve(message.result)
      else heard.forEach((hear) => hear(message.method, message.params))
    }
  })
  const run = async () => {
    const { targetInfos } = await send("Target.getTargets")
    const page = targetInfos.find((target) => target.type === "page")
    const { sessionId } = await send("Target.attachToTarget", { targetId: page.targetId, flatten: true })
    await use({ tell: (method, params) => send(method, params, sessionId), hear: (what) => heard.push(what) })
  }
  run().then(() => (clearTimeout(patience), end(0)), (error) => fail(error.stack))
}
