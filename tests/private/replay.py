"""PawWork's event replay, from docs/protocols/pawwork.md alone. With `seam` as the second argument the ring is read before the reader listens."""
import json
import queue
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

MOST, BEAT, SEAM = 320, 0.5, sys.argv[2:] == ["seam"]
NUMBERED = {"session.created", "session.updated", "server.instance.disposed"}
lock, sessions, listeners = threading.RLock(), {}, set()
boot, seq, ring = "", 0, []  # ring: (number, directory, frame)


def reset():
    global boot, seq, ring
    boot, seq, ring = f"{int(time.time() * 1000):x}-{uuid.uuid4().hex[:8]}", 0, []


def frame(kind, properties, directory=None, cursor=None):
    place = {"directory": directory, "project": "global"} if directory else {}
    data = json.dumps({**place, "payload": {"type": kind, "properties": properties}})
    return (f"id: {cursor}\n" if cursor else "") + f"data: {data}\n\n"


def say(kind, properties, directory=None):
    global seq, ring
    with lock:
        if kind == "server.instance.disposed":
            ring = [record for record in ring if record[1] != directory]
        seq += kind in NUMBERED
        text = frame(kind, properties, directory, f"{boot}:{seq}" if kind in NUMBERED else None)
        if kind in NUMBERED:
            ring = [*ring, (seq, directory, text)][-MOST:]
        for listener in listeners:
            listener.put(text)


def parsed(cursor):
    """The number of a cursor that can be resumed from; `None` for every other."""
    name, colon, number = cursor.rpartition(":")
    plain = colon and number.isascii() and number.isdigit() and (number == "0" or number[0] != "0") and len(number) < 17
    if not plain or name != boot or int(number) > seq:
        return None
    earliest = ring[0][0] if ring else seq + 1
    return int(number) if int(number) == seq or int(number) >= earliest - 1 else None


def opening(cursor):
    after = parsed(cursor or "")
    if after is None:
        return [frame("server.connected", {}, cursor=f"{boot}:{seq}")]
    return [text for number, _, text in ring if number > after]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        url = urlsplit(self.path)
        directory = parse_qs(url.query).get("directory", ["/"])[0]
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        match (self.command, *url.path.split("/")[1:]):
            case ("GET", "global", "health"):
                self.answer({"healthy": True, "version": "python"})
            case ("GET", "global", "event"):
                self.stream()
            case ("POST", "session"):
                info = {"id": f"ses_{uuid.uuid4().hex}", "directory": directory, "title": body.get("title", "")}
                sessions[info["id"]] = info
                say("session.created", {"sessionID": info["id"], "info": info}, directory)
                self.answer(info)
            case (_, "session", name, *_) if name not in sessions:
                self.answer({"name": "NotFoundError", "data": {"message": name}}, 404)
            case ("PATCH", "session", name):
                with lock:
                    info = sessions[name] = {**sessions[name], **body}
                    say("session.updated", {"sessionID": name, "info": info}, info["directory"])
                self.answer(info)
            case ("POST", "session", name, "message"):
                say("message.part.updated", {"sessionID": name, "part": body["parts"][0]}, sessions[name]["directory"])
                self.answer({})
            case ("POST", "instance", "dispose"):
                say("server.instance.disposed", {"directory": directory}, directory)
                self.answer(True)
            case ("POST", "global", "dispose"):
                with lock:
                    for each in {info["directory"] for info in sessions.values()}:
                        say("server.instance.disposed", {"directory": each}, each)
                    reset()
                    say("global.disposed", {})
                self.answer(True)
            case _:
                self.answer({"name": "NotFoundError"}, 404)

    do_GET = do_POST = do_PATCH = handle_any

    def stream(self):
        self.send_response(200)
        for name, value in [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache"), ("Connection", "close")]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        live, cursor = queue.Queue(), self.headers.get("Last-Event-ID")
        if SEAM:
            first = opening(cursor)
            time.sleep(0.005)  # whatever a real server does here
        with lock:
            listeners.add(live)
            first = first if SEAM else opening(cursor)
        try:
            for text in first:
                self.wfile.write(text.encode())
            while True:
                try:
                    text = live.get(timeout=BEAT)
                except queue.Empty:
                    text = frame("server.heartbeat", {})
                self.wfile.write(text.encode())
        except OSError:
            pass
        finally:
            with lock:
                listeners.discard(live)

    def log_message(self, *_):
        pass


reset()
ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
