"""A server with a protocol of its own, in the standard library alone: notebooks, whose lines are followed by POST.

    POST /write   {"book": "b", "line": "text"}   200 {"at": 7}
    POST /follow  {"book": "b", "seen": 6}        200, a JSON line for each line behind 6, then for each new one, without end:
                                                  {"at": 7, "line": "text"}
                                                  400 when `seen` is no number
    GET  /up                                      200

Usage: notebook.py PORT [BUG]; it prints the port, which is a free one for 0. BUG is one of
    inclusive   the line named by `seen` is sent once more
    unlocked    the lines are read first and the follower is registered afterwards
"""

import json
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUG = sys.argv[2] if len(sys.argv) > 2 else None


class Book:
    def __init__(self):
        self.lock = threading.Lock()
        self.lines = []
        self.followers = set()

    def write(self, line):
        with self.lock:
            self.lines.append(line)
            at = len(self.lines)
            for follower in self.followers:
                follower.put((at, line))
            return at

    def behind(self, seen):
        first = seen - 1 if BUG == "inclusive" and seen else seen
        return list(enumerate(self.lines, 1))[first:]

    def follow(self, seen):
        """The lines behind `seen`, and a queue of those that are written from now on."""
        follower = queue.SimpleQueue()
        if BUG == "unlocked":
            lines = self.behind(seen)
            time.sleep(0.03)
            with self.lock:
                self.followers.add(follower)
            return lines, follower
        with self.lock:
            self.followers.add(follower)
            return self.behind(seen), follower

    def leave(self, follower):
        with self.lock:
            self.followers.discard(follower)


BOOKS = {}
BOOKS_LOCK = threading.Lock()


def book(name):
    with BOOKS_LOCK:
        return BOOKS.setdefault(name, Book())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if self.path == "/up" else 404, {})

    def do_POST(self):
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            named = book(asked["book"])
        except (ValueError, KeyError, TypeError) as error:
            return self.answer(400, {"error": str(error)})
        if self.path == "/write" and isinstance(asked.get("line"), str):
            return self.answer(200, {"at": named.write(asked["line"])})
        if self.path != "/follow":
            return self.answer(404, {"error": "there are /write and /follow"})
        try:
            seen = int(asked.get("seen", 0))
        except (ValueError, TypeError):
            return self.answer(400, {"error": "`seen` is the number of a line"})
        self.stream(named, max(seen, 0))

    def stream(self, named, seen):
        lines, follower = named.follow(seen)
        self.close_connection = True
        try:
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Connection", "close")
            self.end_headers()
            for at, line in lines:
                self.tell(at, line)
            while True:
                try:
                    self.tell(*follower.get(timeout=1))
                except queue.Empty:
                    # An empty line is how a follower that left is noticed.
                    self.wfile.write(b"\n")
        except OSError:
            pass
        finally:
            named.leave(follower)

    def tell(self, at, line):
        self.wfile.write(json.dumps({"at": at, "line": line}).encode() + b"\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    print("listening on", server.server_address[1], flush=True)
    server.serve_forever()
