"""Rooms of numbered sayings over server-sent events, with nothing but the standard library: `server.py PORT`, 0 for a free one.

POST /rooms/NAME {"text": …, "type": …} appends an event and answers its number; GET /rooms/NAME streams the events behind
`Last-Event-ID`, or all of them, and then what is new.
"""
import json
import re
import sys
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition

rooms = defaultdict(list)
changed = Condition()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        with changed:
            log = rooms[self.path]
            log.append((said.get("type", "said"), said["text"]))
            number = len(log)
            changed.notify_all()
        self.answer(201, {"n": number})

    def do_GET(self):
        if self.path == "/up":
            return self.answer(200, {"up": True})
        cursor = self.headers.get("Last-Event-ID") or "0"
        if not re.fullmatch("[0-9]{1,15}", cursor):
            return self.answer(400, {"error": "Last-Event-ID is no number"})
        seen = int(cursor)
        with changed:
            head = len(rooms[self.path])
        if seen > head:
            return self.answer(409, {"error": f"the room has {head} events"})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.wfile.write(b":\n\n")  # so that there is something to read at once
            while True:
                # One place in one log, so that nothing can fall between what was said before and what comes.
                with changed:
                    changed.wait_for(lambda: len(rooms[self.path]) > seen, timeout=1)
                    new = rooms[self.path][seen:]
                for kind, text in new:
                    seen += 1
                    self.wfile.write(f"id: {seen}\nevent: {kind}\ndata: {json.dumps({'text': text})}\n\n".encode())
                if not new:
                    self.wfile.write(b":\n\n")  # finds out whether the reader is still there
        except OSError:
            self.close_connection = True

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer.request_queue_size = 128  # the default of 5 turns readers away who come at once
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
