"""One request by hand, to see that a server answers rightly before it is measured: HTTP/1.1 and HTTP/2, clear and over TLS."""
import socket
import ssl
import struct

HEADERS, SETTINGS, GOAWAY, WINDOW_UPDATE, DATA, RST_STREAM = 1, 4, 7, 8, 0, 3
END_STREAM, END_HEADERS, PADDED, ACK = 1, 4, 8, 1


def fetch(port, path, h2=False, tls=""):
    """(status, body). Raises OSError while nobody listens, and when the answer is not what the protocol demands."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        if tls:
            s = wrapped(s, "h2" if h2 else "http/1.1", tls)
        with s:
            return get_h2(s, port, path, "https" if tls else "http") if h2 else get_h1(s, port, path)


def wrapped(s, protocol, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    context.set_alpn_protocols([protocol])
    s = context.wrap_socket(s, server_hostname="localhost")
    # Without an answer to ALPN it is HTTP/1.1 (fasthttp gives none).
    if (s.selected_alpn_protocol() or "http/1.1") != protocol:
        raise OSError(f"ALPN chose {s.selected_alpn_protocol()}, not {protocol}")
    return s


def get_h1(s, port, path):
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            raise OSError("closed without an answer")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = next((int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")), None)
    while length is None or len(body) < length:
        piece = s.recv(1 << 20)
        if not piece:
            break
        body += piece
    return int(head.split()[1]), body


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def request_block(port, path, scheme):
    """HPACK without Huffman and without the dynamic table (RFC 7541 section 6): :method GET and :scheme are static entries."""
    text = lambda index, value: bytes([index, len(value)]) + value.encode()
    return b"\x82" + (b"\x87" if scheme == "https" else b"\x86") + text(4, path) + text(1, f"127.0.0.1:{port}")


def status(block):
    """Of a block that begins with an indexed :status, as all servers send it; size updates may precede it."""
    while block and block[0] & 0xE0 == 0x20:
        n = 1
        if block[0] & 0x1F == 0x1F:
            while block[n] & 0x80:
                n += 1
            n += 1
        block = block[n:]
    return {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}.get(block[0] if block else 0, 0)


def get_h2(s, port, path, scheme):
    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x7FFFFFFF)) +
              frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x40000000)) +
              frame(HEADERS, END_STREAM | END_HEADERS, 1, request_block(port, path, scheme)))
    file, code, body = s.makefile("rb"), 0, b""
    while True:
        head = file.read(9)
        if head.startswith(b"HTTP/1."):
            raise OSError("answers HTTP/1 to HTTP/2")
        if len(head) < 9:
            raise OSError("closed without an answer")
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        payload = file.read(length)
        if kind in (DATA, HEADERS) and flags & PADDED:
            payload = payload[1:len(payload) - payload[0]]
        if kind == SETTINGS and not flags & ACK:
            s.sendall(frame(SETTINGS, ACK, 0))
        elif kind == HEADERS and not code:
            code = status(payload)
        elif kind == DATA:
            body += payload
        elif kind in (GOAWAY, RST_STREAM):
            raise OSError(f"ended by {'GOAWAY' if kind == GOAWAY else 'RST_STREAM'} {payload.hex()}")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            return code, body
