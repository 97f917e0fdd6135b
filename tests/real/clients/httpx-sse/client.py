"""The PyPI package `httpx-sse` as a client under test: a parser over httpx. The connections are this adapter's."""

import json
import os
import sys
import time

import httpx
from httpx_sse import SSEError, connect_sse

if os.environ.get("STREAMSPEC_NEEDS"):
    sys.exit(127)


def say(line):
    print(json.dumps(line), flush=True)


last = ""
with httpx.Client(timeout=60) as client:
    while True:
        headers = {"Last-Event-ID": last.encode()} if last else {}
        try:
            with connect_sse(client, "GET", sys.argv[-1], headers=headers) as source:
                if source.response.status_code != 200:
                    break
                for event in source.iter_sse():
                    last = event.id
                    say({"id": event.id, "type": event.event, "data": event.data})
                    if event.event == "end":
                        say({"closed": "the stream has ended"})
                        sys.exit(0)
        except SSEError as error:
            say({"error": str(error)})
            sys.exit(0)
        except httpx.TransportError:
            pass
        time.sleep(0.05)
say({"closed": "refused"})
