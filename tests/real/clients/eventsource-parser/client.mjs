// The npm package `eventsource-parser` as a client under test: a parser alone. The connections are this adapter's.
import { setTimeout as wait } from "node:timers/promises";
import { load, say, supports, url } from "../adapter.mjs";

supports();
const { createParser } = load("eventsource-parser");
let ended = false;
let last;
while (!ended) {
  const parser = createParser({
    onEvent(event) {
      last = event.id ?? last;
      say({ type: event.event ?? "message", data: event.data });
      ended ||= event.event === "end";
    },
  });
  const decoder = new TextDecoder();
  const response = await fetch(url, { headers: { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) } });
  if (response.status !== 200) break;
  try {
    // As its documentation has it: text is fed as it comes.
    for await (const chunk of response.body) parser.feed(decoder.decode(chunk, { stream: true }));
  } catch {
    // The connection broke.
  }
  await wait(50);
}
say({ closed: "the stream has ended" });
