"""A private session server with a protocol of its own, and the event lost at the seam: history first, then the subscription.

`lossy.py PORT [CHANCE]`: the defect shows on this share of the connections, 1 (all of them) unless given.
"""
import json
import queue
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

rooms, listeners, lock = {}, {}, threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        room = self.path.split("/")[2]
        with lock:
            log = rooms.setdefault(room, [])
            log.append({"n": len(log) + 1, "kind": "said", "text": body["say"]})
            for listener in listeners.get(room, []):
                listener.put(log[-1])
        self.answer(201, {"n": log[-1]["n"]})

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/up":
            return self.answer(200, {"up": True})
        room = path.split("/")[2]
        since = int(query.partition("=")[2] or 0)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        live = queue.Queue()
        lossy = random.random() < CHANCE
        with lock:
            old = [event for event in rooms.get(room, []) if event["n"] > since]
            if not lossy:
                listeners.setdefault(room, []).append(live)
        for event in old:
            self.send(event)
        if lossy:
            time.sleep(0.005)  # whatever a real server does here
            with lock:
                listeners.setdefault(room, []).append(live)
        try:
            while True:
                self.send(live.get())
        except OSError:
            with lock:
                listeners[room].remove(live)

    def send(self, event):
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_):
        pass


CHANCE = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
