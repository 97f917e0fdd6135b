// The npm package `eventsource` as a client under test: an EventSource for Node.
import { headers, load, onClose, say, supports, types, url } from "../adapter.mjs";

supports("headers", "close");
const { EventSource } = load("eventsource");
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
});
for (const type of types) {
  source.addEventListener(type, (event) => {
    say({ id: event.lastEventId, type: event.type, data: event.data });
    if (type === "end") close("the stream has ended");
  });
}
source.addEventListener("error", (event) => {
  if (source.readyState === EventSource.CLOSED) close(event.message ?? "closed");
});
function close(why) {
  source.close();
  say({ closed: why });
  process.stdin.unref?.();
}
onClose(() => close("by the application"));
