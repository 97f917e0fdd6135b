// The npm package `eventsource` as an adapter: it is told what to do by orders on standard input.
import { createInterface } from "node:readline";
import { load, say, types } from "../adapter.mjs";

const { EventSource } = load("eventsource");
let source;

function closed(why) {
  source?.close();
  say({ closed: why });
}

const carryOut = {
  init: () => ({ version: 1, features: ["headers", "close"] }),

  subscribe({ url, headers = {} }) {
    source = new EventSource(url, {
      fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
    });
    for (const type of types) {
      source.addEventListener(type, (event) => {
        say({ id: event.lastEventId, type: event.type, data: event.data });
        if (type === "end") closed("the stream has ended");
      });
    }
    source.addEventListener("error", (event) => {
      if (source.readyState === EventSource.CLOSED) closed(event.message ?? "given up");
    });
  },

  close: () => closed("by the application"),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { order, do: what, ...words } = JSON.parse(line);
  say({ answer: order, ...(what in carryOut ? carryOut[what](words) : { unsupported: `there is no ${what} here` }) });
}
process.exit(0);
