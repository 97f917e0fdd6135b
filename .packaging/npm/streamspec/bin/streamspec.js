#!/usr/bin/env node
// Runs the program that the package for this platform carries.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");

/** The package of each platform that there is one for. */
const packages = {
  "linux x64": "@streamspec/linux-x64",
};

function program() {
  if (process.env.STREAMSPEC_BINARY) return process.env.STREAMSPEC_BINARY;
  const platform = `${process.platform} ${process.arch}`;
  const name = packages[platform];
  if (!name) {
    throw new Error(
      `there is no package for ${platform}, only for ${Object.keys(packages).join(", ")}; ` +
        "build it with `cargo install streamspec` and name the program in STREAMSPEC_BINARY",
    );
  }
  try {
    return require.resolve(`${name}/bin/streamspec`);
  } catch {
    throw new Error(`${name} is not installed; install streamspec again, without --omit=optional`);
  }
}

let path;
try {
  path = program();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(2);
}
const child = spawn(path, process.argv.slice(2), { stdio: "inherit", argv0: "streamspec" });
child.on("error", (error) => {
  console.error(`error: cannot run ${path}: ${error.message}`);
  process.exit(2);
});
// Who signals this process means the program. An interrupt from a terminal has reached it already, and a second one would keep
// it from writing what it has.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
