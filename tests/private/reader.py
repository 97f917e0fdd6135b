"""reader.py [DEFECT]: a small client for server-sent events, read by JSON lines as docs/profiles.md describes.

DEFECT: `forgets` leaves out every third event, `blind` does not look at the status of an answer.
"""
import http.client
import json
import sys
import threading
from urllib.parse import urlsplit

defect = sys.argv[1] if len(sys.argv) > 1 else ""
writing = threading.Lock()
reading = {}


def say(line):
    with writing:
        print(json.dumps(line), flush=True)


def events(answer):
    """The events of a stream whose lines end with LF, as dictionaries."""
    event = {}
    for raw in answer:
        line = raw.decode().rstrip("\r\n")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if "data" in event:
                yield event
            event = {}
        elif name == "data":
            event["data"] = f"{event['data']}\n{value}" if "data" in event else value
        elif name in ("event", "id"):
            event[name] = value


def read(conn, url, headers):
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port)
    reading[conn] = connection
    try:
        target = where.path + (f"?{where.query}" if where.query else "")
        connection.request("GET", target, headers={"Accept": "text/event-stream", **headers})
        answer = connection.getresponse()
        if defect == "blind" and answer.status != 200:
            say({"conn": conn, "data": answer.read().decode()})
        elif answer.status != 200:
            raise OSError(f"status {answer.status}")
        else:
            for n, event in enumerate(events(answer), 1):
                if not (defect == "forgets" and n % 3 == 0):
                    say({"conn": conn, **event})
        say({"conn": conn, "end": True})
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        say({"conn": conn, "error": str(error) or type(error).__name__})
    finally:
        reading.pop(conn, None)
        connection.close()


for line in sys.stdin:
    order = json.loads(line)
    if order["do"] == "hello":
        say({"ready": True})
    elif order["do"] == "subscribe":
        threading.Thread(target=read, args=(order["conn"], order["url"], order["headers"]), daemon=True).start()
    elif order["do"] == "close" and order["conn"] in reading:
        reading[order["conn"]].close()
