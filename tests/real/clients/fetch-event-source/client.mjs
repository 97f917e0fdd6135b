// The npm package `@microsoft/fetch-event-source` as a client under test. It is written for browsers: `window` and
// `document` are given what it asks of them. As its documentation advises, a clean end is made an error, so that it
// reconnects, and errors are left to its own retry.
import { headers, load, onClose, say, supports, url } from "../adapter.mjs";

supports("headers", "post", "close");
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = load("@microsoft/fetch-event-source");
const controller = new AbortController();
let closed = false;
function close(why) {
  if (closed) return;
  closed = true;
  say({ closed: why });
  controller.abort();
}
onClose(() => close("by the application"));
try {
  await fetchEventSource(url, {
    method: process.env.STREAMSPEC_METHOD ?? "GET",
    body: process.env.STREAMSPEC_BODY,
    headers,
    openWhenHidden: true,
    signal: controller.signal,
    onmessage(event) {
      if (closed) return;
      say({ type: event.event || "message", data: event.data });
      if (event.event === "end") close("the stream has ended");
    },
    onclose() {
      throw new Error("the server closed the connection");
    },
    onerror() {},
  });
} catch (error) {
  say({ error: String(error) });
}
