// Modules of the installed packages: MPPX names the folder that `install` filled.
import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"

const modules = join(resolve(process.env.MPPX), "node_modules")

/** The module `name` as a program in the folder MPPX would import it; with `file`, that file of the package, exported or not. */
export async function installed(name, file) {
  const [scope, ...rest] = name.split("/")
  if (file === undefined) {
    const { exports } = JSON.parse(readFileSync(join(modules, scope, "package.json"), "utf8"))
    const entry = exports[rest.length === 0 ? "." : `./${rest.join("/")}`]
    file = typeof entry === "string" ? entry : (entry.import?.default ?? entry.import ?? entry.default)
  }
  return import(pathToFileURL(join(modules, scope, file)))
}
