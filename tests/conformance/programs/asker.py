"""The client in a pod: reads what to ask as JSON, a line each, from its input, and prints what was answered.

Owns nothing but its connections. It knows nothing of a proxy: it looks a name up, connects, and speaks HTTP/1.1.

    {"do": "ask", "host", "port", "method", "path", "headers": [[name, value]], "body", "times": 1}
            -> {"answers": [[status, [[name, value]], body]]}     one connection for all of them
    {"do": "upgrade", "host", "port", "path", "headers", "body"}
            -> {"head": text, "body": as much as was sent, sent back}
    {"do": "load", "host", "port", "path", "connections": 4}      -> {}    ask without a pause, in the background
    {"do": "more", "count": 100}    -> {}    once so many answers more have come
    {"do": "enough"}                -> {"answers": [those of one connection, ...]}

What goes wrong in a load is an answer with status 0. Standard library only.
"""

import http.client
import json
import socket
import sys
import threading

SECONDS = 30.0


def connect(told):
    """A new connection."""
    return http.client.HTTPConnection(told["host"], told["port"], timeout=SECONDS)


def ask(connection, told):
    """One request and its answer."""
    connection.putrequest(told.get("method", "GET"), told["path"], skip_host=True, skip_accept_encoding=True)
    for name, value in told["headers"]:
        connection.putheader(name, value)
    body = told.get("body", "").encode("latin-1")
    if body:
        connection.putheader("content-length", str(len(body)))
    connection.endheaders(body or None)
    answer = connection.getresponse()
    text = answer.read().decode("latin-1")
    return [answer.status, [[name.lower(), value] for name, value in answer.getheaders()], text]


def upgrade(told):
    """One conversation."""
    fields = [*told["headers"], ["connection", "upgrade"], ["upgrade", "websocket"]]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    with socket.create_connection((told["host"], told["port"]), SECONDS) as connection:
        connection.sendall(f"GET {told['path']} HTTP/1.1\r\n{head}\r\n".encode())
        stream = connection.makefile("rb")
        said = []
        while line := stream.readline().strip():
            said.append(line.decode("latin-1"))
        if " 101 " not in said[0]:
            return {"head": "\n".join(said), "body": ""}
        body = told["body"].encode("latin-1")
        connection.sendall(body)
        return {"head": "\n".join(said), "body": stream.read(len(body)).decode("latin-1")}


class Load:
    """Connections that ask until told to stop."""

    def __init__(self, told):
        self.told, self.stop, self.count = told, False, 0
        self.news = threading.Condition()
        self.answers = [[] for _ in range(told["connections"])]
        self.threads = [threading.Thread(target=self.run, args=(each,), daemon=True) for each in self.answers]
        for thread in self.threads:
            thread.start()

    def run(self, answers):
        """One connection."""
        connection = connect(self.told)
        while not self.stop:
            try:
                answers.append(ask(connection, self.told))
            except (OSError, http.client.HTTPException) as error:
                answers.append([0, [], f"{type(error).__name__}: {error}"])
                connection.close()
            with self.news:
                self.count += 1
                self.news.notify_all()
        connection.close()

    def more(self, count):
        """Wait for so many answers."""
        with self.news:
            until = self.count + count
            if not self.news.wait_for(lambda: self.count >= until, SECONDS):
                raise TimeoutError(f"{until - self.count} of {count} answers did not come")

    def enough(self):
        """Stop; all answers."""
        self.stop = True
        for thread in self.threads:
            thread.join(SECONDS)
        return self.answers


def main():
    """Until the end of the input."""
    load = None
    for line in sys.stdin:
        told = json.loads(line)
        said = {}
        try:
            if told["do"] == "load":
                load = Load(told)
            elif told["do"] == "upgrade":
                said = upgrade(told)
            elif told["do"] == "more":
                load.more(told["count"])
            elif told["do"] == "enough":
                said = {"answers": load.enough()}
            else:
                connection = connect(told)
                said = {"answers": [ask(connection, told) for _ in range(told.get("times", 1))]}
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
