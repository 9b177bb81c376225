# A WebSocket client for Tests/websocket/PeerTests.swift: the sans-I/O protocol of PyPI's `websockets` between standard input and output. It makes a
# handshake, sends random messages, whole and in fragments, and expects each of them back as it was sent; then it closes.
#
# Usage: peer.py SEED COUNT DEFLATE      DEFLATE: off, or a comma-separated list of the offer's parameters
# Ends with 0 and a line of counts on standard error when everything was right.

import os
import random
import sys
import threading

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri


def random_message(rng):
    size = rng.choice([0, 1, 5, 125, 126, 127, 1000, 5000, 65535, 65536, 100000])
    size = rng.randrange(size + 1) if rng.random() < 0.5 else size
    if rng.random() < 0.5:
        alphabet = rng.choice(["abc {}\":,0123456789", "aé€😀中\n", "\u07ff\uffff\U0010ffff "])
        return "".join(rng.choices(alphabet, k=size // 3 + 1))
    if rng.random() < 0.5:
        return rng.randbytes(size)
    return (rng.randbytes(20) * (size // 20 + 1))[:size]


class Peer:
    def __init__(self, deflate):
        extensions = []
        if deflate != "off":
            chosen = dict(part.split("=") if "=" in part else (part, True) for part in deflate.split(",") if part)
            extensions = [
                ClientPerMessageDeflateFactory(
                    server_no_context_takeover="server_no_context_takeover" in chosen,
                    client_no_context_takeover="client_no_context_takeover" in chosen,
                    server_max_window_bits=int(chosen["server_max_window_bits"]) if "server_max_window_bits" in chosen else None,
                    client_max_window_bits=int(chosen["client_max_window_bits"])
                    if chosen.get("client_max_window_bits", True) is not True
                    else ("client_max_window_bits" in chosen or None),
                )
            ]
        self.protocol = ClientProtocol(
            parse_uri("ws://example.com/echo"), extensions=extensions, subprotocols=["other", "echo"], max_size=None
        )
        self.lock = threading.Lock()
        self.messages = []
        self.parts = []
        self.pongs = 0

    def flush(self):
        for data in self.protocol.data_to_send():
            if data:
                sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def receive(self):
        data = os.read(0, 65536)
        with self.lock:
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            events = self.protocol.events_received()
        for event in events:
            if not hasattr(event, "opcode"):
                self.response = event
            elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self.parts.append(event)
                if event.fin:
                    content = b"".join(bytes(part.data) for part in self.parts)
                    self.messages.append(content.decode() if self.parts[0].opcode is Opcode.TEXT else content)
                    self.parts = []
            elif event.opcode is Opcode.PONG:
                self.pongs += 1
        return bool(data)


def send(peer, rng, messages):
    for message in messages:
        data = message.encode() if isinstance(message, str) else message
        pieces = [data]
        if rng.random() < 0.3:
            cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 5)))
            pieces = [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]
        for index, piece in enumerate(pieces):
            with peer.lock:
                last = index == len(pieces) - 1
                if index > 0:
                    peer.protocol.send_continuation(piece, fin=last)
                elif isinstance(message, str):
                    peer.protocol.send_text(piece, fin=last)
                else:
                    peer.protocol.send_binary(piece, fin=last)
                if rng.random() < 0.1:
                    peer.protocol.send_ping(rng.randbytes(rng.randrange(126)))
                out = peer.protocol.data_to_send()
            for data in out:
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


def main():
    seed, count, deflate = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    rng = random.Random(seed)
    peer = Peer(deflate)
    peer.protocol.send_request(peer.protocol.connect())
    peer.flush()
    while peer.protocol.state is State.CONNECTING:
        if not peer.receive():
            sys.exit("no answer to the handshake")
    if peer.protocol.handshake_exc is not None:
        sys.exit(f"handshake: {peer.protocol.handshake_exc!r}")
    if peer.protocol.subprotocol != "echo":
        sys.exit(f"subprotocol {peer.protocol.subprotocol}")
    if (deflate != "off") != bool(peer.protocol.extensions):
        sys.exit(f"extensions {peer.protocol.extensions}")
    messages = [random_message(rng) for _ in range(count)]
    # Writing must not wait for reading: the other side does both in one thread.
    sender = threading.Thread(target=send, args=(peer, random.Random(seed + 1), messages))
    sender.start()
    while len(peer.messages) < count:
        if not peer.receive():
            break
    sender.join()
    if peer.messages != messages:
        first = next((i for i, pair in enumerate(zip(peer.messages, messages)) if pair[0] != pair[1]), -1)
        sys.exit(f"{len(peer.messages)} of {count} messages came back, the first difference is {first}; {peer.protocol.parser_exc!r}")
    peer.protocol.send_close(4321, "done")
    peer.flush()
    while peer.receive():
        pass
    if (peer.protocol.close_code, peer.protocol.close_reason) != (4321, ""):
        sys.exit(f"closed with {peer.protocol.close_code} {peer.protocol.close_reason!r}")
    print(f"{count} messages, {peer.pongs} pongs, {peer.protocol.extensions}", file=sys.stderr)


main()
