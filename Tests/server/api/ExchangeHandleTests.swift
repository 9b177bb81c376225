// Waiting exchanges: a producer without data, a receiver that holds its client back, and who wakes them.

import Synchronization
import TestSupport
import Testing
import UringBase
import UringServer

@Suite struct ExchangeHandleTests {
    /// The handle of the exchange under test, handed from the loop to the test's thread.
    private final class Box: Sendable {
        let handle = Locked<ExchangeHandle?>(nil)
        let calls = Atomic<Int>(0)
        let isOpen = Atomic<Bool>(false)
    }

    @Test(.timeLimit(.minutes(1))) func aWaitingProducerGoesOnWhenItsHandleSays() throws {
        let box = Box()
        let server = try TestServer { _, response in
            box.handle.withLock { $0 = response.exchange }
            response.stream { writer in
                box.calls.add(1, ordering: .relaxed)
                // An hour: only the handle can wake it within the test.
                guard box.isOpen.load(ordering: .acquiring) else { return .wait(milliseconds: 3_600_000) }
                writer.write("woken")
                return .end
            }
        }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        // The loop answers for itself after the turn in which the producer was asked.
        while box.calls.load(ordering: .acquiring) == 0 { _ = server.running.snapshots() }
        let handle = try #require(box.handle.withLock { $0 })
        handle.resume()
        _ = server.running.snapshots()
        #expect(box.calls.load(ordering: .acquiring) == 2)
        box.isOpen.store(true, ordering: .releasing)
        handle.resume()
        let response = try client.readFinalResponse(toHead: false)
        #expect(String(decoding: response.body, as: UTF8.self) == "woken")
        #expect(box.calls.load(ordering: .acquiring) == 3)
        // The exchange is over; the connection's next one has a handle of its own.
        handle.resume()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readFinalResponse(toHead: false).status == 200)
        #expect(box.calls.load(ordering: .acquiring) == 4)
    }

    @Test(.timeLimit(.minutes(1))) func aPausedBodyHoldsTheClientBackAndGoesOn() throws {
        let box = Box()
        let received = Locked<Int>(0)
        let pieces = Atomic<Int>(0)
        var application = Application { _, response in
            let handle = response.exchange
            box.handle.withLock { $0 = handle }
            response.receiveBody { part, response in
                received.withLock { $0 += part.bytes.count }
                pieces.add(1, ordering: .relaxed)
                if part.isLast {
                    response.write("\(received.withLock { $0 })")
                    return .finish
                }
                return box.isOpen.load(ordering: .acquiring) ? .more : .pause
            }
        }
        application.wantsStream = { _ in true }
        let server = try TestServer(unix: true, application: application)
        let client = try server.client()
        let size = 3_000_000
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
        // The server takes what a few buffers hold, then no more.
        let body = [UInt8](repeating: UInt8(ascii: "x"), count: size)
        let sent = try client.sendUntilHeldBack(body, patienceMs: 300)
        #expect(sent < size)
        #expect(pieces.load(ordering: .relaxed) == 1)
        box.isOpen.store(true, ordering: .releasing)
        let handle = try #require(box.handle.withLock { $0 })
        handle.resume()
        try client.send(body[sent...])
        let response = try client.readFinalResponse(toHead: false)
        #expect(response.status == 200)
        #expect(String(decoding: response.body, as: UTF8.self) == "\(size)")
        // The exchange is over: nothing happens, to this connection or another.
        handle.resume()
    }
}
