// Waits of a handler's own task, which have no cancellation handler: they end all the same. And waits of tasks that are on somebody else's executor.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@Suite struct LoopWaitsTests {
    private static func server(_ handler: @escaping AsyncHandler) throws -> TestServer { try TestServer(application: Application(async: handler)) }

    /// The client leaves while the handler waits: at once, after waits of the same kind, and after a wait of another kind, behind which the loop does not know the task any more.
    @Test func cancelledWithTheHandler() throws {
        let ends = Notes()
        let other = try TestServer { _, response in response.write("never asked") }
        let address = other.running.addresses[0]
        let server = try Self.server { request, response in
            let (path, loop) = (String(request.path), request.loop)
            if path == "/" { return response.write("here") }
            if path == "/yield-sleep" { await Task.yield() }
            if path == "/sleep-sleep" { for _ in 0..<3 { try await loop.sleep(for: .microseconds(1)) } }
            do {
                if path == "/read" {
                    _ = try await loop.connect(to: address).read(upTo: 10)
                } else {
                    try await loop.sleep(for: .seconds(1000))
                }
                ends.add("\(path) ended")
            } catch {
                // What is waited for now ends at once.
                let next = await Result { () async throws in try await loop.sleep(for: .seconds(1000)) }
                let opened = await Result { () async throws in _ = try await loop.open("/dev/null") }
                ends.add("\(path) \(type(of: error)) \(next.isCancellation) \(opened.isCancellation)")
            }
        }
        let paths = ["/read", "/sleep", "/sleep-sleep", "/yield-sleep"]
        do {
            let clients = try paths.map { path in
                let client = try server.client()
                try client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
                return client
            }
            for _ in 0..<20 { _ = try server.get("/") }
            for client in clients { client.resetOnClose() }
        }
        let deadline = ContinuousClock.now + .seconds(20)
        while ends.all.count < paths.count, ContinuousClock.now < deadline { _ = try server.get("/") }
        #expect(ends.all.sorted() == paths.map { "\($0) CancellationError true true" })
        // Workers that were not cancelled have nothing left of it.
        #expect(try server.get("/").bodyText == "here")
    }

    /// Code of actors waits on the loop and comes back to where it was, whether that is the loop's thread or another.
    @Test func onBehalfOfActors() throws {
        let (here, elsewhere) = (Actor(), ThreadActor())
        let server = try Self.server { request, response in
            let (thread, loop) = (pthread_self(), request.loop)
            let first = try await here.wait(loop)
            response.write(pthread_self() == thread ? "\(first) " : "elsewhere ")
            let second = try await elsewhere.wait(loop)
            response.write(pthread_self() == thread ? "\(second)" : "elsewhere")
        }
        for _ in 0..<3 { #expect(try server.get("/").bodyText == "2 true") }
    }

    private actor Actor {
        func wait(_ loop: ServerLoop) async throws -> Int {
            try await loop.sleep(for: .microseconds(10))
            let file = try await loop.open("/etc/passwd")
            return try await file.read(at: 0, upTo: 2).count
        }
    }

    /// On a thread of its own.
    private actor ThreadActor {
        private let executor = ThreadExecutor()
        nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

        /// True: never on the loop's thread, and never on two of its own.
        func wait(_ loop: ServerLoop) async throws -> Bool {
            let thread = pthread_self()
            var stays = ServerLoop.current == nil
            try await loop.sleep(for: .microseconds(10))
            stays = stays && pthread_self() == thread
            let file = try await loop.open("/etc/passwd")
            stays = stays && pthread_self() == thread
            let bytes = try await file.read(at: 0, upTo: 2)
            return stays && bytes.count == 2 && pthread_self() == thread
        }
    }
}

/// Runs jobs one after another on one thread, which ends with it.
private final class ThreadExecutor: SerialExecutor {
    private let queue = Queue()

    init() {
        let queue = queue
        Detached.start {
            // Jobs are of an actor that owns this executor, and hold it.
            while let (job, executor) = unsafe queue.next() { unsafe job.runSynchronously(on: executor) }
        }
    }

    deinit { queue.end() }

    func enqueue(_ job: consuming ExecutorJob) { unsafe queue.add(UnownedJob(job), asUnownedSerialExecutor()) }
}

/// Jobs, and a pipe that says how many.
@safe
private final class Queue: Sendable {
    private let jobs = unsafe Locked<[(UnownedJob, UnownedSerialExecutor)]>([])
    private let input: Int32
    private let output: Int32

    init() {
        var ends: (Int32, Int32) = (-1, -1)
        // The tuple is the call's own, and has room for two.
        let code = unsafe withUnsafeMutableBytes(of: &ends) { unsafe pipe($0.baseAddress!.assumingMemoryBound(to: Int32.self)) }
        precondition(code == 0)
        (input, output) = ends
    }

    deinit { close(input) }

    func add(_ job: UnownedJob, _ executor: UnownedSerialExecutor) {
        unsafe jobs.withLock { unsafe $0.append((job, executor)) }
        var byte = UInt8(1)
        _ = unsafe write(output, &byte, 1)
    }

    /// Waits for one; nil behind the last.
    func next() -> (UnownedJob, UnownedSerialExecutor)? {
        var byte = UInt8(0)
        guard unsafe read(input, &byte, 1) == 1 else { return nil }
        return unsafe jobs.withLock { unsafe $0.removeFirst() }
    }

    func end() { close(output) }
}

private final class Notes: Sendable {
    private let lines = Locked<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }
}

extension Result where Success == Void, Failure == any Error {
    fileprivate nonisolated(nonsending) init(_ body: nonisolated(nonsending) () async throws -> Void) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }

    fileprivate var isCancellation: Bool { if case .failure(let error) = self { error is CancellationError } else { false } }
}
