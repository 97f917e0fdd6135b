// JSON files that hold big integers, replaced atomically, so that a kill leaves the old or the new state; and files of JSON lines.
import { appendFileSync, existsSync, readFileSync, renameSync, truncateSync, writeFileSync } from "node:fs"

/** The content of `path`, or `empty` when there is no such file. */
export function read(path, empty) {
  if (!existsSync(path)) return empty
  return JSON.parse(readFileSync(path, "utf8"), (_, value) =>
    value !== null && typeof value === "object" && "$big" in value ? BigInt(value.$big) : value,
  )
}

/** Replaces `path`. What was written survives the death of the process, not that of the machine. */
export function write(path, value) {
  const text = JSON.stringify(value, (_, part) => (typeof part === "bigint" ? { $big: part.toString() } : part))
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

/** The values in the lines of `path`, or nothing when there is no such file. A line that a kill left unfinished is removed. */
export function lines(path) {
  if (!existsSync(path)) return undefined
  const bytes = readFileSync(path)
  const whole = bytes.lastIndexOf("\n") + 1
  if (whole < bytes.length) truncateSync(path, whole)
  return bytes.subarray(0, whole).toString().split("\n").slice(0, -1).map((line) => JSON.parse(line))
}

/** Adds a line to `path`, which survives as `write` says. */
export function append(path, value) {
  appendFileSync(path, `${JSON.stringify(value)}\n`)
}
