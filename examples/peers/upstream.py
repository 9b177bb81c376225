#!/usr/bin/env python3
"""What the proxy of the examples stands in front of. Prints the port; says back what it was asked, and does what upstreams do when they are not well.

/slow never answers, /cut promises more than it sends, everything else answers with a line for each field of the request and then its body."""

import socket
import threading
import time


def fields(file):
    lines = []
    while (line := file.readline().rstrip(b"\r\n")):
        lines.append(line)
    return lines


def body(file, head):
    known = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:])}
    if b"chunked" in known.get(b"transfer-encoding", b""):
        whole = b""
        while (size := int(file.readline(), 16)):
            whole += file.read(size)
            file.readline()
        fields(file)
        return whole
    return file.read(int(known.get(b"content-length", 0)))


def serve(connection):
    with connection, connection.makefile("rb") as file:
        while head := fields(file):
            path = head[0].split()[1]
            content = body(file, head)
            if path == b"/slow":
                file.read()
            elif path == b"/cut":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
                time.sleep(0.3)
                return
            else:
                text = b"\n".join(head) + b"\n\n" + content
                connection.sendall(
                    b"HTTP/1.1 203 Heard\r\nConnection: x-hop\r\nX-Hop: here only\r\nKeep-Alive: timeout=5\r\nX-End: kept\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + b"%x\r\n%s\r\n0\r\nX-Sum: %d\r\n\r\n" % (len(text), text, len(content)))


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
