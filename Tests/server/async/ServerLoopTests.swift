// ServerLoop: what tasks await on their loop, that they never leave it, and how each ends early.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@Suite struct ServerLoopTests {
    private static func server(_ options: ServerOptions = ServerOptions(), _ handler: @escaping AsyncHandler) throws -> TestServer {
        try TestServer(options: options, application: Application(async: handler))
    }

    /// Every wait ends on the thread that it began on.
    @Test func staysOnItsLoop() throws {
        let path = TestServer.temporaryPath()
        let server = try Self.server { request, response in
            let thread = pthread_self()
            var places: [String] = []
            func note(_ place: String) { places.append(pthread_self() == thread ? place : "\(place) elsewhere") }
            let loop = request.loop
            try await loop.sleep(for: .milliseconds(1))
            note("sleep")
            let file = try await loop.open(path, .create)
            note("open")
            try await file.write(Array("hello".utf8), at: 0)
            note("write")
            let text = try await loop.readFile(path, upTo: 5)
            note("read \(String(decoding: text, as: UTF8.self))")
            let elsewhere = try await loop.offload { pthread_self() != thread }
            note(elsewhere ? "offload" : "offload on the loop")
            if ServerLoop.current == nil { places.append("no loop") }
            response.write(places.joined(separator: ","))
        }
        defer { _ = unsafe unlink(path) }
        #expect(try server.get("/").bodyText == "sleep,open,write,read hello,offload")
        #expect(ServerLoop.current == nil)
    }

    @Test func sleepsLongEnough() throws {
        let server = try Self.server { request, response in
            for milliseconds in [0, 1, 5, 20] {
                let began = ContinuousClock.now
                try await request.loop.sleep(for: .milliseconds(milliseconds))
                response.write(ContinuousClock.now - began >= .milliseconds(milliseconds) ? "ok " : "short ")
            }
            try await request.loop.sleep(for: .milliseconds(-5))
        }
        #expect(try server.get("/").bodyText == "ok ok ok ok ")
    }

    /// The sooner is first, whoever began first.
    @Test func timersInOrder() throws {
        let server = try Self.server { request, response in
            let loop = request.loop
            let order = try await withThrowingTaskGroup(of: Int.self) { group in
                for delay in [30, 10, 20, 1] {
                    group.addTask {
                        try await loop.sleep(for: .milliseconds(delay))
                        return delay
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            response.write("\(order)")
        }
        #expect(try server.get("/").bodyText == "[1, 10, 20, 30]")
    }

    /// A task that is cancelled does not wait on: not for time, not for an operation that never ends by itself.
    @Test func cancelledWaits() throws {
        let listener = TestServer.temporaryPath()
        let silent = try SilentListener(path: listener)
        let server = try Self.server { request, response in
            let loop = request.loop
            let socket = try await loop.connect(to: "unix:\(listener)")
            for wait in ["sleep", "read"] {
                let result = await withTaskGroup(of: String.self) { group in
                    group.addTask {
                        do {
                            if wait == "sleep" { try await loop.sleep(for: .seconds(1000)) } else { _ = try await socket.read(upTo: 10) }
                            return "ended"
                        } catch { return "\(type(of: error))" }
                    }
                    try? await loop.sleep(for: .milliseconds(2))
                    group.cancelAll()
                    return await group.next() ?? ""
                }
                response.write("\(wait) \(result) ")
            }
            do { _ = try await socket.read(upTo: 10, timeout: .milliseconds(2)) } catch { response.write("\((error as? LoopError)?.code == ETIME)") }
        }
        #expect(try server.get("/").bodyText == "sleep CancellationError read CancellationError true")
        withExtendedLifetime(silent) {}
    }

    @Test func talksToAnotherServer() throws {
        let other = try TestServer { request, response in response.write("from the other") }
        let server = try Self.server { request, response in
            let socket = try await request.loop.connect(to: String(request.headers["x-other"]!))
            try await socket.write(Array("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8))
            socket.endOutput()
            var answer: [UInt8] = []
            while true {
                let piece = try await socket.read(upTo: 1000)
                if piece.isEmpty { break }
                answer += piece
            }
            response.write(String(decoding: answer, as: UTF8.self).components("\r\n\r\n"))
        }
        #expect(try server.request("GET", "/", ["X-Other: \(other.running.addresses[0])"]).bodyText == "from the other")
    }

    @Test func failures() throws {
        let server = try Self.server { request, response in
            let loop = request.loop
            for (name, body) in [
                ("open", { try await loop.open("/nowhere/at/all") } as @Sendable () async throws -> Any), ("nul", { try await loop.open("a\0b") }),
                ("large", { try await loop.readFile("/proc/self/maps", upTo: 10) }), ("name", { try await loop.connect(to: "example.com:80") }),
                ("refused", { try await loop.connect(to: "unix:/nowhere/at/all") }),
            ] {
                do {
                    _ = try await body()
                    response.write("\(name) succeeded; ")
                } catch let error as LoopError {
                    response.write("\(name) \(error.code); ")
                }
            }
        }
        #expect(try server.get("/").bodyText == "open \(ENOENT); nul \(EINVAL); large \(EFBIG); name \(EINVAL); refused \(ENOENT); ")
    }

    @Test func offloadedErrorsComeBack() throws {
        struct Failure: Error {}
        let server = try Self.server { request, response in
            do {
                _ = try await request.loop.offload { throw Failure() }
            } catch is Failure {
                response.write("failure")
            }
            let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                let loop = request.loop
                for number in 1...100 { group.addTask { try await loop.offload { number } } }
                return try await group.reduce(0, +)
            }
            response.write(" \(sum)")
        }
        #expect(try server.get("/").bodyText == "failure 5050")
    }

    /// Work that nobody ends leaves with its server.
    @Test func stopsWithTasksThatWait() throws {
        let ends = Notes()
        let server = try Self.server { request, response in
            let loop = request.loop
            Task(executorPreference: loop.taskExecutor) {
                do { try await loop.sleep(for: .seconds(1000)) } catch { ends.add("\(type(of: error))") }
            }
        }
        #expect(try server.get("/").status == 200)
        server.running.stop(within: .seconds(5))
        // The loop's end resumes it; what is left of the task may run elsewhere.
        let deadline = ContinuousClock.now + .seconds(20)
        while ends.all.isEmpty, ContinuousClock.now < deadline { sched_yield() }
        #expect(ends.all == ["CancellationError"])
    }
}

private final class Notes: Sendable {
    private let lines = Locked<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }
}

private enum LoopTestError: Error { case system(Int32) }

/// Takes connections and says nothing.
private final class SilentListener {
    private let descriptor: Int32
    private let path: String

    init(path: String) throws {
        self.path = path
        descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // The address is the call's own.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { room in
            for (index, byte) in path.utf8.enumerated() { unsafe room[index] = byte }
        }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let code = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, size) }
        }
        guard code == 0, listen(descriptor, 8) == 0 else { throw LoopTestError.system(errno) }
    }

    deinit {
        close(descriptor)
        _ = unsafe unlink(path)
    }
}

extension String {
    /// What follows the separator.
    fileprivate func components(_ separator: String) -> String {
        var rest = Substring(self)
        while !rest.isEmpty {
            if rest.hasPrefix(separator) { return String(rest.dropFirst(separator.count)) }
            rest = rest.dropFirst()
        }
        return ""
    }
}
