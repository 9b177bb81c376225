// Servers of HTTP/2 that give up, refuse, stall and lie, frame by frame; and the client's times.

import Glibc
import TestSupport
import Testing
import UringBase
import UringHTTP

@testable import UringServer

@Suite(.timeLimit(.minutes(3))) struct HTTP2HostileTests {
    private func ask(_ peer: ScriptedPeer, _ method: HTTPMethod = .get, _ change: (inout HTTPClientOptions) -> Void = { _ in }, requests: Int = 1) throws -> String {
        let url = peer.url
        return try HTTP2ClientTests.asking(HTTP2ClientTests.options(change)) { client in
            await withTaskGroup(of: String.self) { group in
                for _ in 0..<requests { group.addTask { await HTTP2ClientTests.reason(client, HTTPClientRequest(method, url)) } }
                return await group.reduce(into: [String]()) { $0.append($1) }.sorted().joined(separator: ", ")
            }
        }
    }

    /// What a server does with the first request of a connection, and what becomes of it.
    private enum Deed: CaseIterable {
        case answers, resets, cancels, malformedHead, malformedBlock, pushPromise, dataBeforeHead, wrongFrame, tooMuchData, closes, closesWithin, truncates, closesInPreface, speaksHTTP1
        case goAwayWithError, unknownFrames

        var result: String {
            switch self {
            case .answers, .unknownFrames: "200 ok"
            case .resets, .cancels, .malformedBlock, .pushPromise, .wrongFrame, .tooMuchData, .closes, .closesWithin, .truncates, .goAwayWithError: "closed false"
            case .malformedHead, .dataBeforeHead: "malformedResponse false"
            case .closesInPreface, .speaksHTTP1: "closed false"
            }
        }

        func act(_ peer: HTTP2Peer) {
            switch self {
            case .closesInPreface: return
            case .speaksHTTP1: return peer.raw(Array("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".utf8))
            default: peer.settings()
            }
            guard let stream = peer.request() else { return }
            switch self {
            case .answers: peer.answer(stream, "ok")
            case .unknownFrames:
                peer.send(0xbe, 0xff, 0, [1, 2, 3])
                peer.send(0xbe, 0, stream)
                peer.send(1, 4, stream, [0x88])
                peer.send(0xbe, 0, stream)
                peer.send(0, 1, stream, Array("ok".utf8))
            case .resets: peer.reset(stream, 2)
            case .cancels: peer.reset(stream, 8)
            case .malformedHead: peer.send(1, 5, stream, [0x84])  // :path
            case .malformedBlock: peer.send(1, 5, stream, [0xff, 0xff, 0xff, 0xff, 0xff])
            case .pushPromise: peer.send(5, 4, stream, HTTP2Peer.bytes(2) + [0x82, 0x84, 0x86])
            case .dataBeforeHead: peer.send(0, 1, stream, [1])
            case .wrongFrame: peer.send(6, 0, 0, [1, 2, 3])
            case .tooMuchData:
                peer.send(1, 4, stream, [0x88])
                // Twice the stream's window, without asking.
                for _ in 0..<10 { peer.send(0, 0, stream, [UInt8](repeating: 1, count: 16_000)) }
                for _ in 0..<100 { peer.send(0, 0, stream, [UInt8](repeating: 1, count: 16_000)) }
            case .closes: return
            case .closesWithin:
                peer.send(1, 4, stream, [0x88])
                peer.send(0, 0, stream, Array("o".utf8))
                return
            case .truncates:
                peer.send(1, 4, stream, [0x88])
                return peer.raw([0, 0, 5, 0, 1, 0, 0, 0, 1, 65])
            case .goAwayWithError:
                peer.goAway(stream, 2)
                return
            case .closesInPreface, .speaksHTTP1: return
            }
            peer.untilClosed()
        }
    }

    @Test func deeds() throws {
        for deed in Deed.allCases where deed != .tooMuchData {
            let peer = try HTTP2Peer.serve { deed.act($0) }
            #expect(try ask(peer, .post) == deed.result, "\(deed)")
        }
    }

    /// More than the window, to one who does not read.
    @Test func tooMuchData() throws {
        let peer = try HTTP2Peer.serve { Deed.tooMuchData.act($0) }
        let url = peer.url
        let result = try HTTP2ClientTests.asking { client in
            let answer = try await client.get(url)
            try await ServerLoop.current?.sleep(for: .milliseconds(20))
            do { return "\(try await answer.collect(upTo: 10_000_000).count)" } catch { return "\((error as? HTTPClientError)?.reason as Any)" }
        }
        #expect(result.contains("closed") || result.contains("malformed"), "\(result)")
    }

    /// REFUSED_STREAM: not looked at, so sent again, whatever the method; not for ever.
    @Test func refused() throws {
        let peer = try HTTP2Peer.serve { peer in
            peer.settings()
            for number in 0... {
                guard let stream = peer.request() else { return }
                if number < 2 { peer.reset(stream, 7) } else { peer.answer(stream, "\(number)") }
            }
        }
        #expect(try ask(peer, .post) == "200 2")
        let stubborn = try HTTP2Peer.serve { peer in
            peer.settings()
            while let stream = peer.request() { peer.reset(stream, 7) }
        }
        #expect(try ask(stubborn, .post) == "closed true")
    }

    /// GOAWAY in the middle: what lies above its last stream is sent again on another connection, what lies below goes on.
    @Test func goAway() throws {
        let connections = Locked(0)
        let peer = try HTTP2Peer.serve { peer in
            let number = connections.withLock { count in
                count += 1
                return count
            }
            peer.settings()
            guard let first = peer.request() else { return }
            guard number == 1 else {
                peer.answer(first, "second connection")
                while let stream = peer.request() { peer.answer(stream, "second connection") }
                return
            }
            guard peer.request() != nil, peer.request() != nil else { return }
            peer.goAway(first)
            peer.answer(first, "first connection")
            peer.untilClosed()
        }
        #expect(try ask(peer, .post, requests: 3) == "200 first connection, 200 second connection, 200 second connection")
        #expect(connections.withLock { $0 } == 2)
    }

    /// A kept connection that is gone: GET is repeated, POST is not.
    @Test func stale() throws {
        let peer = try HTTP2Peer.serve { peer in
            peer.settings()
            guard let stream = peer.request() else { return }
            peer.answer(stream, "ok")
            _ = peer.request()
        }
        let url = peer.url
        let result = try HTTP2ClientTests.asking { client in
            var results: [String] = []
            for method in [HTTPMethod.get, .get, .post] { results.append(await HTTP2ClientTests.reason(client, HTTPClientRequest(method, url))) }
            return "\(results)"
        }
        #expect(result == #"["200 ok", "200 ok", "closed false"]"#)
    }

    /// A window of nothing: the body waits until it opens, byte by byte, or the time for it is over.
    @Test func windows() throws {
        let peer = try HTTP2Peer.serve { peer in
            peer.settings([(4, 0)])
            // The client knows of the window when it has the answer.
            guard let first = peer.request() else { return }
            peer.answer(first, "known")
            guard let stream = peer.request() else { return }
            var sizes: [Int] = []
            for increment: UInt32 in [1, 2, 97] {
                peer.send(8, 0, stream, HTTP2Peer.bytes(increment))
                guard let frame = peer.next(0) else { return }
                sizes.append(frame.payload.count)
                if frame.endsStream { peer.answer(stream, "\(sizes)") }
            }
            peer.untilClosed()
        }
        let url = peer.url
        let result = try HTTP2ClientTests.asking(HTTP2ClientTests.options { $0.bodyTimeout = .milliseconds(50) }) { client in
            var results: [String] = []
            let body = HTTPClientRequest(.post, url, body: .bytes([UInt8](repeating: 1, count: 100)))
            for request in [HTTPClientRequest(.get, url), body, body] { results.append(await HTTP2ClientTests.reason(client, request)) }
            return "\(results)"
        }
        #expect(result == #"["200 known", "200 [1, 2, 97]", "timeout false"]"#)
    }

    // MARK: times

    @Test func timeouts() throws {
        // A head that does not come, a body that stops.
        let silent = try HTTP2Peer.serve { peer in
            peer.settings()
            peer.untilClosed()
        }
        #expect(try ask(silent, .get, { $0.headTimeout = .milliseconds(30) }) == "timeout false")
        let stopping = try HTTP2Peer.serve { peer in
            peer.settings()
            guard let stream = peer.request() else { return }
            peer.send(1, 4, stream, [0x88])
            peer.send(0, 0, stream, [1])
            peer.untilClosed()
        }
        #expect(try ask(stopping, .get, { $0.bodyTimeout = .milliseconds(30) }) == "timeout false")
        // No settings: not a server of HTTP/2. Silence in spite of PING.
        let mute = try HTTP2Peer.serve { $0.untilClosed() }
        #expect(try ask(mute, .get, { $0.connectTimeout = .milliseconds(30) }) == "timeout false")
        #expect(try ask(silent, .get, { ($0.pingAfter, $0.pingTimeout) = (.milliseconds(20), .milliseconds(20)) }) == "timeout false")
    }

    /// A server that answers PING is waited for.
    @Test func pings() throws {
        let peer = try HTTP2Peer.serve { peer in
            peer.settings()
            guard let stream = peer.request() else { return }
            for _ in 0..<3 {
                guard let ping = peer.next(6) else { return }
                peer.send(6, 1, 0, ping.payload)
            }
            peer.answer(stream, "alive")
            peer.untilClosed()
        }
        #expect(try ask(peer, .get, { ($0.pingAfter, $0.pingTimeout) = (.milliseconds(10), .seconds(10)) }) == "200 alive")
    }

    /// An unused connection is closed when its time is over, of either version, and HTTP/2 says goodbye.
    @Test func idle() throws {
        let log = EventLog()
        let second = try HTTP2Peer.serve { peer in
            peer.settings()
            guard let stream = peer.request() else { return }
            peer.answer(stream, "ok")
            log.add(peer.next(7) != nil ? "goaway" : "cut")
            peer.untilClosed()
            log.add("closed 2")
        }
        let first = try ScriptedPeer { socket in
            var chunk = [UInt8](repeating: 0, count: 4096)
            guard unsafe recv(socket, &chunk, chunk.count, 0) > 0 else { return }
            let answer = RawClient.bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            _ = unsafe send(socket, answer, answer.count, Int32(MSG_NOSIGNAL))
            if unsafe recv(socket, &chunk, chunk.count, 0) == 0 { log.add("closed 1") }
        }
        for (protocols, url) in [(HTTPClientProtocols.http1, first.url), (.http2, second.url)] {
            let options = HTTP2ClientTests.options { ($0.protocols, $0.idleTimeout) = (protocols, .milliseconds(20)) }
            let result = try HTTP2ClientTests.asking(options) { client in
                let answer = await HTTP2ClientTests.reason(client, HTTPClientRequest(.get, url))
                let last = protocols == .http1 ? "closed 1" : "closed 2"
                for _ in 0..<5000 where !log.all.contains(last) { try await ServerLoop.current?.sleep(for: .milliseconds(1)) }
                return answer
            }
            #expect(result == "200 ok")
        }
        #expect(log.all == ["closed 1", "goaway", "closed 2"])
    }

    /// A connection that does not come about: a TLS handshake that nobody answers; a listener whose queue is full.
    @Test func connecting() throws {
        let mute = try ScriptedPeer { socket in
            var chunk = [UInt8](repeating: 0, count: 4096)
            while unsafe recv(socket, &chunk, chunk.count, 0) > 0 {}
        }
        let url = "https" + mute.url.dropFirst(4)
        let full = try FullListener()
        for (url, protocols) in [(url, HTTPClientProtocols.automatic), (full.url, .http1), (full.url, .http2)] {
            let options = HTTP2ClientTests.options { ($0.protocols, $0.connectTimeout) = (protocols, .milliseconds(30)) }
            let result = try HTTP2ClientTests.asking(options) { client in
                await withTaskGroup(of: String.self) { group in
                    for _ in 0..<3 { group.addTask { await HTTP2ClientTests.reason(client, HTTPClientRequest(.get, url)) } }
                    return await group.reduce(into: Set<String>()) { $0.insert($1) }.joined(separator: ", ")
                }
            }
            #expect(result == "connect(\(ETIMEDOUT)) true", "\(url)")
        }
    }

    /// Errors that a handler does not look at answer as a gateway does.
    @Test func statusOfErrors() throws {
        let silent = try ScriptedPeer("", byByte: false, closes: false)
        let closing = try ScriptedPeer("", byByte: false, closes: true)
        var options = HTTPClientOptions()
        (options.headTimeout, options.connectionsPerServerMax, options.pendingPerServerMax) = (.milliseconds(30), 1, 0)
        let client = HTTPClient(options: options)
        var router = Router()
        router.use(.problemDetails)
        router.get("/ask") { request, response in response.write(try await client.get(String(request.headers["x-url"]!)).collect(upTo: 10)) }
        router.get("/overload") { request, response in
            async let first = client.get(silent.url).collect(upTo: 10)
            async let second = client.get(silent.url).collect(upTo: 10)
            _ = try await (first, second)
        }
        let server = try TestServer(router: router)
        func status(_ target: String, _ url: String) throws -> String {
            let response = try server.get(target, "X-Url: \(url)")
            return "\(response.status) \(response.bodyText.contains("127.0.0.1"))"
        }
        #expect(try status("/ask", "http://127.0.0.1:1/") == "502 false")
        #expect(try status("/ask", closing.url) == "502 false")
        #expect(try status("/ask", silent.url) == "504 false")
        #expect(try status("/ask", "ftp://a/") == "500 false")
        #expect(try ["503 false", "504 false"].contains(status("/overload", "-")))
        let problem = try server.get("/ask", "X-Url: http://127.0.0.1:1/")
        #expect(problem.bodyText.contains("502"), "\(problem.bodyText)")
        #expect(server.reports.all.contains { $0.contains("127.0.0.1:1") }, "\(server.reports.all)")
    }
}

/// A listener whose queue of connections is full: the kernel answers no SYN.
final class FullListener {
    let url: String
    private var sockets: [Int32] = []

    init() throws {
        let listener = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        sockets = [listener]
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The address is the calls' own.
        let bound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(listener, $0, length) == 0 && listen(listener, 0) == 0 && getsockname(listener, $0, &length) == 0 }
        }
        guard bound else { throw RawClientError.system(call: "bind", errno: errno) }
        url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))/"
        for _ in 0..<4 {
            let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
            sockets.append(socket)
            // As above. In progress, or refused for now: either way it takes a place if there is one.
            _ = unsafe withUnsafePointer(to: &address) { pointer in unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(socket, $0, length) } }
        }
    }

    deinit { for socket in sockets { close(socket) } }
}
