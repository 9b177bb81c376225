// Bodies larger than memory, in both directions, in constant memory: the server reads no faster than the receiver consumes, and writes no faster than the
// client takes.
//
//     swift run -c release transfer            head -c 5G /dev/zero | curl -T - http://127.0.0.1:8080/upload
//                                              curl -o /dev/null http://127.0.0.1:8080/download/5000000000

import UringServer

/// Adler-32 (RFC 1950), fed piece by piece.
struct Checksum {
    private var (a, b): (UInt32, UInt32) = (1, 0)

    mutating func add(_ bytes: Span<UInt8>) {
        for index in bytes.indices {
            a = (a &+ UInt32(bytes[index])) % 65521
            b = (b &+ a) % 65521
        }
    }
    var text: String { String(b << 16 | a, radix: 16) }
}

var router = Router()

// `streamingBody`: the handler is called when the head has come. What it refuses, the client need not send.
router.put("/upload", streamingBody: true) { request, response in
    if let length = request.contentLength, length > 1 << 40 { throw HTTPError(.contentTooLarge, "a terabyte at most") }
    var count = 0
    var checksum = Checksum()
    response.receiveBody { part, response in
        count += part.bytes.count
        checksum.add(part.bytes.span)
        if part.isLast {
            response.json { json in
                json["bytes"] = count
                json["adler32"] = checksum.text
            }
        }
        return .more
    }
}

router.get("/download/{bytes}") { request, response in
    guard let text = request.parameter("bytes"), let bytes = UInt64(String(text)) else { throw HTTPError(.badRequest, "how many bytes?") }
    response.headers["content-type"] = "application/octet-stream"
    let piece = [UInt8](repeating: 0x2E, count: ResponseWriter.preferredBytes)
    var left = bytes
    // The length is announced, and enforced: a client never takes a part for the whole.
    response.stream(length: bytes) { writer in
        let count = Int(min(left, UInt64(piece.count)))
        writer.write(piece.span.extracting(0..<count))
        left -= UInt64(count)
        return left == 0 ? .end : .more
    }
}

var options = ServerOptions()
options.limits.bodyBytes = 1 << 40
let address = CommandLine.arguments.dropFirst().first ?? "127.0.0.1:8080"
try Server(listen: [address], options: options, router: router).run()
