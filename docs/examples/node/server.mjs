// Rooms of numbered sayings over server-sent events, without dependencies: `node server.mjs PORT`, 0 for a free one.
//
// POST /rooms/NAME {"text": …, "type": …} appends an event and answers its number; GET /rooms/NAME streams the events behind
// `Last-Event-ID`, or all of them, and then what is new.
import { createServer } from "node:http";

const rooms = new Map();

function room(name) {
  if (!rooms.has(name)) rooms.set(name, { log: [], readers: new Set() });
  return rooms.get(name);
}

function answer(response, status, value) {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
}

function frame({ type, text }, n) {
  return `id: ${n}\nevent: ${type}\ndata: ${JSON.stringify({ text })}\n\n`;
}

async function say(request, response) {
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  const { type = "said", text } = JSON.parse(body);
  const { log, readers } = room(request.url);
  log.push({ type, text });
  for (const reader of readers) reader.write(frame({ type, text }, log.length));
  answer(response, 201, { n: log.length });
}

function listen(request, response) {
  const cursor = request.headers["last-event-id"] || "0";
  if (!/^[0-9]{1,15}$/.test(cursor)) return answer(response, 400, { error: "Last-Event-ID is no number" });
  const { log, readers } = room(request.url);
  const seen = Number(cursor);
  if (seen > log.length) return answer(response, 409, { error: `the room has ${log.length} events` });
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  response.write(":\n\n"); // the head goes out with it, before there is anything to say
  // One turn of the loop, in which nothing can be said: what came before is written, and the reader is there for the rest.
  log.slice(seen).forEach((event, nth) => response.write(frame(event, seen + nth + 1)));
  readers.add(response);
  response.on("close", () => readers.delete(response));
}

const server = createServer((request, response) => {
  if (request.url === "/up") return answer(response, 200, { up: true });
  if (request.method === "GET") return listen(request, response);
  if (request.method !== "POST") return answer(response, 405, { error: "GET or POST" });
  say(request, response).catch((error) => answer(response, 400, { error: String(error) }));
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
