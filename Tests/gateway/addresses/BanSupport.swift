// What tests of bans have in common: a file of their own, and waiting for what the book's thread does.

import Glibc
import TestSupport
import Testing

@testable import UringGateway

/// A file that is removed with this object.
final class ScratchFile {
    let path = "/tmp/uringd-bans-\(getpid())-\(UInt32.random(in: 0 ... .max))"

    init(_ text: String) throws { try write(text) }
    deinit { unsafe unlink(path) }

    func write(_ text: String) throws { try writeFile(path, text) }
}

/// Waits for something that comes soon.
func comesSoon(_ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<4000 {
        if try condition() { return true }
        usleep(1000)
    }
    return false
}

extension AdminGateway {
    func ban(_ body: String, _ query: String = "") throws -> RawResponse {
        let client = try RawClient(admin)
        try client.send("POST /bans\(query) HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        return try client.readResponse()
    }

    func lift(_ prefix: String) throws -> RawResponse { try ask("/bans?prefix=\(prefix)", method: "DELETE") }

    func metric(_ name: String) throws -> Double? { sample(name, in: try ask("/metrics").bodyText) }

    /// A connection of its own is reset before it is answered.
    var isRefused: Bool { (try? get("/hello")) == nil }
}
