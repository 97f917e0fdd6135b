"""How a team that uses pytest holds its own server to its promises: `pip install streamspec pytest`, then `pytest`."""
import json
import re
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

HERE = Path(__file__).parent
SERVER = HERE / "server.py"
PROFILE = HERE.parent / "rooms.toml"


def test_nothing_is_lost_when_connections_break(tmp_path):
    """streamspec starts the server itself, so that it can also kill it; without --only it runs all that applies."""
    junit = tmp_path / "streamspec.xml"
    command = ["streamspec", "test", "--start", f"{sys.executable} {SERVER} {{port}}", "--profile", PROFILE]
    run = subprocess.run([*command, "--only", "RESUME", "--only", "SEAM", "--report", f"junit={junit}"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    suites = ElementTree.parse(junit).getroot()
    passed = [case for case in suites.iter("testcase") if not list(case)]
    assert len(passed) > 5 and suites.get("failures") == "0"


def test_a_client_resumes_behind_the_event_after_which_it_was_cut():
    """The fault proxy alone, for a team's own client: the stream is reset behind the next `done` event."""
    with program(sys.executable, SERVER, "0", says=r"listening on (\S+)") as (server,):
        with program("streamspec", "proxy", "--upstream", server, says=r"listening on (\S+) .* faults at (\S+)") as (proxy, faults):
            post(faults, {"cut": {"at": {"after_frame": {"event_type": "done"}}, "how": "rst"}})
            for kind, text in [("said", "one"), ("done", "two"), ("said", "three")]:
                post(f"{server}/rooms/r", {"type": kind, "text": text})
            seen, connections = [], 0
            while len(seen) < 3:
                connections += 1
                for event in read(f"{proxy}/rooms/r", seen[-1][0] if seen else None):
                    seen.append(event)
                    if len(seen) == 3:
                        break
            assert seen == [("1", "one"), ("2", "two"), ("3", "three")]
            assert connections == 2, "it was cut once"


@contextmanager
def program(*command, says):
    """Runs a program; what it says in its first line."""
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as running:
        try:
            yield re.match(says, running.stdout.readline()).groups()
        finally:
            running.terminate()


def post(url, value):
    host, path = urlsplit(url).netloc, urlsplit(url).path
    connection = HTTPConnection(host, timeout=60)
    connection.request("POST", path, json.dumps(value), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    return json.load(answer)


def read(url, cursor=None):
    """Yields (id, text) of each event until the connection breaks."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", urlsplit(url).path, headers={"Last-Event-ID": cursor} if cursor else {})
    event = {}
    try:
        for line in connection.getresponse():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
            elif "data" in event:
                yield event["id"], json.loads(event["data"])["text"]
                event = {}
    except (ConnectionResetError, IncompleteRead):
        pass
    finally:
        connection.close()
