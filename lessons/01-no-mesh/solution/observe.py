"""Looks at a Service without a mesh: from the client's side, and from the wire's.

    python observe.py calls http://server/ 60 keep     sixty calls over one connection, and what came of them
    python observe.py calls http://server/ 60 new      sixty calls, each with a connection of its own
    python observe.py wire 5                           (as root on the node) what passes by, for 5 seconds
"""

import http.client
import json
import socket
import sys
import time
from collections import Counter
from urllib.parse import urlsplit


def tally(answers: list[tuple[int, str]]) -> dict[str, object]:
    """What a client got, from (status, pod) of each answer:

    {"failed": 0.25,                            the share of answers with a status of 500 or more
     "shares": {"server-1": 0.5, ...}}          the share of all answers that each pod gave
    """
    failed = sum(1 for status, _ in answers if status >= 500)
    by_pod = Counter(pod for _, pod in answers)
    return {"failed": failed / len(answers), "shares": {pod: n / len(answers) for pod, n in by_pod.items()}}


def carried(frame: bytes) -> bytes:
    """The bytes that TCP carries in an Ethernet frame; b"" when it carries none, or is something else.

        Ethernet, 14 bytes    bytes 12 and 13: what is in it; 0x0800 is IPv4
        IPv4, 20 or more      its first byte: the lower four bits are its length in units of 4 bytes
                              its byte 9: what is in it; 6 is TCP        (RFC 791 section 3.1)
        TCP, 20 or more       its byte 12: the upper four bits are its length in units of 4 bytes  (RFC 9293 section 3.1)
        the rest              what the programs say to one another
    """
    if frame[12:14] != b"\x08\x00":
        return b""
    packet = frame[14:]
    length = (packet[0] & 0x0F) * 4
    if packet[9] != 6:
        return b""
    total = int.from_bytes(packet[2:4], "big")  # an Ethernet frame may be padded; IPv4 knows where it ends
    segment = packet[length:total]
    return segment[(segment[12] >> 4) * 4 :]


def calls(url: str, count: int, keep: bool) -> list[tuple[int, str]]:
    """Call `count` times; (status, pod) of each answer."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port or 80, timeout=5)
    found = []
    for _ in range(count):
        connection.request("GET", address.path or "/")
        answer = connection.getresponse()
        found.append((answer.status, json.loads(answer.read())["pod"]))
        if not keep:
            connection.close()
    return found


def wire(seconds: float) -> None:
    """Print what passes by on every interface of this machine, until something secret did (packet(7))."""
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        ear.settimeout(left)
        try:
            said = carried(ear.recv(65536))
        except TimeoutError:
            return
        if said:
            print(said.decode("latin-1"), flush=True)
        if b"password" in said:
            return


if __name__ == "__main__":
    if sys.argv[1] == "wire":
        wire(float(sys.argv[2]))
    else:
        answers = calls(sys.argv[2], int(sys.argv[3]), sys.argv[4] == "keep")
        print(json.dumps({**tally(answers), "answers": answers}))
