// A peer that says what a test wants it to, and threads for such.

import Glibc
import TestSupport

/// A server that reads requests' heads and says the same to each.
final class ScriptedPeer: Sendable {
    let url: String
    private let listener: Int32

    convenience init(_ text: String, byByte: Bool, closes: Bool, requestsPerConnection: Int = .max) throws {
        let bytes = RawClient.bytes(text)
        try self.init { Self.serve($0, bytes, byByte, closes, requestsPerConnection) }
    }

    /// - Parameter serve: has each connection on a thread of its own; it is closed behind it.
    init(_ serve: @escaping @Sendable (Int32) -> Void) throws {
        let listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The address is the calls' own.
        let bound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, length) == 0 && listen(listener, 16) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard bound else { throw RawClientError.system(call: "bind", errno: errno) }
        url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))/"
        Detached.start {
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                Detached.start {
                    serve(connection)
                    close(connection)
                }
            }
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)); close(listener) }

    private static func serve(_ connection: Int32, _ bytes: [UInt8], _ byByte: Bool, _ closes: Bool, _ requestsMax: Int) {
        var input: [UInt8] = []
        var answered = 0
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { return }
            input += chunk.prefix(count)
            // A head has ended; a short body came with it.
            guard input.contains([13, 10, 13, 10]) else { continue }
            input = []
            guard answered < requestsMax else { return }
            answered += 1
            let step = byByte ? 1 : max(1, bytes.count)
            var at = 0
            while at < bytes.count {
                let piece = Array(bytes[at..<min(at + step, bytes.count)])
                guard unsafe send(connection, piece, piece.count, Int32(MSG_NOSIGNAL)) > 0 else { return }
                at += step
                sched_yield()
            }
            if closes { return }
        }
    }
}

/// A thread of its own: the pool of Swift's tasks may be full of tests.
enum Detached {
    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    static func start(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        // The thread takes over the retained reference.
        _ = unsafe pthread_create(
            &thread, nil,
            {
                unsafe Unmanaged<Box>.fromOpaque($0!).takeRetainedValue().body()
                return nil
            }, unsafe Unmanaged.passRetained(Box(body)).toOpaque())
        pthread_detach(thread)
    }
}
