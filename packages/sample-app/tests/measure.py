"""Prints how fast the sample app starts, how many requests it serves and how much memory it takes. Not a test."""

import json
import socket
import subprocess
import sys
import time

REQUESTS, CONNECTIONS = 8000, 8


def start(*arguments):
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "tulle_sample_app", "--port", "0", "--lame-duck-seconds", "0",
                                *arguments], stderr=subprocess.PIPE, text=True)
    port = json.loads(process.stderr.readline())["port"]
    return process, port, time.perf_counter() - begun


def receive(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head.startswith(b"HTTP/1.1 200 ")


def measure(port):
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    failed, begun = 0, time.perf_counter()
    for _ in range(REQUESTS // CONNECTIONS):
        for connection in connections:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n")
        failed += sum(not receive(connection) for connection in connections)
    seconds = time.perf_counter() - begun
    for connection in connections:
        connection.close()
    return REQUESTS / seconds, failed


def main():
    app_b, port_b, seconds = start("--name", "app-b")
    app_a, port_a, _ = start("--name", "app-a", "--upstream", f"http://127.0.0.1:{port_b}")
    try:
        print(f"start to serving    {seconds * 1000:.0f} ms")
        for name, process, port in (("app-b", app_b, port_b), ("app-a -> app-b", app_a, port_a)):
            rate, failed = measure(port)
            with open(f"/proc/{process.pid}/status") as status:
                memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
            print(f"{name:<16} {rate:7.0f} requests/s, {failed} of {REQUESTS} failed, {memory / 1024:.0f} MiB resident")
    finally:
        for process in (app_a, app_b):
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
