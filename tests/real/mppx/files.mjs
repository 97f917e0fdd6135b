// JSON files that hold big integers, replaced atomically, so that a kill leaves the old or the new state.
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs"

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
