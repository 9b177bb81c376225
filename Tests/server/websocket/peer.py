# A WebSocket client for WebSocketPeerTests.swift: PyPI's `websockets` sends random messages, whole and in fragments, and expects each of them back.
# Usage: peer.py URL SEED COUNT COMPRESSION      COMPRESSION: on or off
# Ends with 0 when everything was right.

import random
import ssl
import sys

from websockets.sync.client import connect


def message(rng):
    size = rng.choice([0, 1, 100, 125, 126, 127, 1000, 5000, 16_384, 65_535, 65_536, 200_000])
    if rng.random() < 0.5:
        return "".join(rng.choices(rng.choice(["abc {}\":,0123456789", "aé€😀中\n"]), k=size // 3 + 1))
    return rng.randbytes(size) if rng.random() < 0.5 else (rng.randbytes(20) * (size // 20 + 1))[:size]


def pieces(data, rng):
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 5)))
    return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]


def main():
    url, seed, count, compression = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    rng = random.Random(seed)
    context = None
    if url.startswith("wss"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(url, ssl=context, compression="deflate" if compression == "on" else None, max_size=None, origin=url.replace("ws", "http", 1).rstrip("/")) as client:
        if bool(client.protocol.extensions) != (compression == "on"):
            sys.exit(f"extensions: {client.protocol.extensions}")
        for number in range(count):
            data = message(rng)
            client.send(pieces(data, rng) if rng.random() < 0.3 else data)
            if rng.random() < 0.1 and not client.ping().wait(10):
                sys.exit("no pong")
            if client.recv(timeout=10) != data:
                sys.exit(f"message {number} came back changed")
        client.close(4321, "done")
        if client.protocol.close_code != 4321:
            sys.exit(f"closed with {client.protocol.close_code}")


main()
