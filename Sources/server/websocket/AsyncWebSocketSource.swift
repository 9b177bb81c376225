// AsyncWebSocketSource: what the session of a WebSocket and the task of its handler have in common. All of it lives on the loop's thread.
//
//   session ──event──▶ take ──▶ held ──▶ next ──▶ the handler ──▶ send ──▶ room ──▶ session.send
//                        │ too many: pause    └─ few again: resume    └─ none: waits for .writable
//
// Owned by its session until that is told of the end, and by its task until the handler has returned; it holds the session from .opened to .closed, which comes exactly once.

internal import UringBase

@safe
final class AsyncWebSocketSource: @unchecked Sendable {
    typealias Message = AsyncWebSocket.Message
    /// From here on the client is held back, however few its messages are.
    private static let heldBytesMax = 64 * 1024

    let executor: LoopExecutor
    let chosenProtocol: String?
    private let route: RouteName?
    private let unreadMax: Int
    /// Set by `.opened`, before there is a task that could ask.
    private var exchange: ExchangeHandle?
    /// Where its executor has it.
    var place = 0

    private var session: WebSocketSession?
    private var handler: AsyncWebSocketHandler?
    private var task: Task<Void, Never>?
    /// The same as an address, to tell it from others.
    private var own: UnsafeRawPointer?
    /// By this object, and not by the handler itself.
    private var isCancelled = false
    private var hasReturned = false

    /// Messages that nobody has read, from `first` on.
    private var held: [Message] = []
    private var first = 0
    private var heldBytes = 0
    /// The client is held back.
    private var isPaused = false
    /// The handler is one that reads.
    private var hasRead = false
    /// Who waits, and its number: a cancellation that comes late is not the next reader's.
    private var reader: (continuation: UnsafeContinuation<Message?, any Error>, number: UInt64)?
    private var readers: UInt64 = 0
    private var writers = unsafe [UnsafeContinuation<Void, Never>]()

    /// How it has ended.
    private var end: WebSocketClosed?
    /// The handler has said Close.
    private var hasSaidClose = false

    init(_ executor: LoopExecutor, _ options: WebSocketOptions, chosenProtocol: String?, route: RouteName?, handler: @escaping AsyncWebSocketHandler) {
        (self.executor, self.chosenProtocol, self.route, self.handler) = (executor, chosenProtocol, route, handler)
        unreadMax = max(options.limits.unreadMessages, 1)
    }

    /// The same from `.opened` on: any thread.
    var handle: WebSocketHandle {
        guard let exchange else { preconditionFailure("BUG: the handle of a WebSocket that has not opened") }
        return WebSocketHandle(exchange: exchange)
    }

    // MARK: the session's side

    func take(_ socket: WebSocket, _ event: WebSocket.Event) {
        switch event {
        case .opened: opened(socket)
        case .message(let message): take(message, socket.link)
        case .writable: resumeWriters()
        case .closed(let close): closed(WebSocketClosed(code: close.code, reason: String(close.reason), isClean: close.isClean))
        }
    }

    private func opened(_ socket: WebSocket) {
        exchange = socket.link.handle
        // The loop holds the session during this call, this object from here on.
        session = unsafe socket.session.takeUnretainedValue()
        executor.socketBegins(self)
        task = Task(executorPreference: executor) { await self.work() }
    }

    private func take(_ message: borrowing WebSocket.Message, _ link: TunnelLink) {
        // Copied while it is readable: during this call.
        let owned: Message = message.kind == .text ? .text(message.text) : .binary(Array(message.bytes))
        if let waiting = unsafe takeReader() { return unsafe waiting.resume(returning: owned) }
        guard end == nil, !hasReturned else { return }
        held.append(owned)
        heldBytes += owned.count
        guard !isPaused, held.count - first >= unreadMax || heldBytes >= Self.heldBytesMax else { return }
        isPaused = true
        link.pause()
    }

    private func closed(_ how: WebSocketClosed) {
        session = nil
        finish(how)
        // The reader has learnt of it in order, and goes on as it sees fit. Others are told the only way there is.
        if !how.isClean || !hasRead { cancelTask() }
    }

    /// The server is stopping, and has told the client so.
    func drain(_ link: TunnelLink) {
        goOn(link)
        finish(WebSocketClosed(code: .goingAway, reason: "the server is stopping", isClean: false))
        cancelTask()
    }

    /// The loop is over, on whose thread this is, and the task goes on elsewhere.
    func orphan() {
        session = nil
        dropHeld()
        finish(WebSocketClosed(code: .abnormal, reason: "", isClean: false))
        cancelTask()
    }

    /// Whoever waits learns of the end; what is held can still be read.
    private func finish(_ how: WebSocketClosed) {
        guard end == nil else { return }
        end = how
        if let waiting = unsafe takeReader() {
            if endsWell(how) { unsafe waiting.resume(returning: nil) } else { unsafe waiting.resume(throwing: how) }
        }
        resumeWriters()
    }

    private func endsWell(_ how: WebSocketClosed) -> Bool {
        how.isClean && (hasSaidClose || how.code == .normal || how.code == .goingAway || how.code == .noStatus)
    }

    private func cancelTask() {
        isCancelled = true
        task?.cancel()
    }

    // MARK: the task

    private nonisolated(nonsending) func work() async {
        guard let handler = takeHandler() else { return }
        var failure: (any Error)?
        do { try await handler(AsyncWebSocket(source: self)) } catch { failure = error }
        // When the loop is over there is nobody to tell.
        guard (try? executor.isHere()) == true else { return }
        returned(failure)
    }

    private func takeHandler() -> AsyncWebSocketHandler? {
        unsafe own = unsafe LoopExecutor.currentTask
        defer { handler = nil }
        return handler
    }

    private func returned(_ failure: (any Error)?) {
        hasReturned = true
        unsafe (task, own) = (nil, nil)
        dropHeld()
        // Tasks that have outlived the handler.
        unsafe takeReader()?.resume(throwing: CancellationError())
        resumeWriters()
        if let failure, !isQuiet(failure), let loop = executor.loop {
            unsafe loop.meter.pointee.handlerErrors &+= 1
            unsafe loop.state.pointee.reporter?.handlerFailed(route?.description ?? "", failure)
        }
        if let session, let link {
            session.handlerReturned(failure == nil ? .normal : .internalError, link)
            goOn(link)
        }
        executor.socketEnds(self)
    }

    /// Says no more than that the socket is closed.
    private func isQuiet(_ failure: any Error) -> Bool { failure is WebSocketClosed || isCancelled && failure is CancellationError }

    /// The way to the socket's connection, from outside of its calls.
    private var link: TunnelLink? { exchange.flatMap { executor.loop?.tunnelLink($0.connection) } }

    // MARK: messages

    /// Whoever takes it resumes it, once.
    private func takeReader() -> UnsafeContinuation<Message?, any Error>? {
        guard let waiting = unsafe reader else { return nil }
        unsafe reader = nil
        return unsafe waiting.continuation
    }

    private func cancelReader(_ number: UInt64) {
        guard let waiting = unsafe reader, unsafe waiting.number == number else { return }
        unsafe takeReader()?.resume(throwing: CancellationError())
    }

    nonisolated(nonsending) func next() async throws -> Message? {
        guard try executor.isHere() else { return try await nextFromElsewhere() }
        hasRead = true
        if first < held.count { return takeHeld() }
        if hasReturned { throw CancellationError() }
        if let end { if endsWell(end) { return nil } else { throw end } }
        if Task.isCancelled { throw CancellationError() }
        guard unsafe reader == nil else { throw AsyncUseError(description: "two tasks read one WebSocket at the same time") }
        readers &+= 1
        // Nothing has run on the loop since the looks above. The handler's own task is cancelled by this object alone, when whoever reads has been told of the end: it needs
        // no cancellation handler, whose memory an idle socket would hold.
        guard unsafe own != nil && own == LoopExecutor.currentTask else { return try await nextOfAnyTask(readers) }
        return try unsafe await withUnsafeThrowingContinuation { unsafe reader = unsafe ($0, readers) }
    }

    /// Apart, because what lives across an `await` here would be memory of every socket that waits.
    @inline(never)
    private nonisolated(nonsending) func nextFromElsewhere() async throws -> Message? {
        try await withTaskExecutorPreference(executor) { @concurrent in try await self.next() }
    }

    /// Of a task that others may cancel, on any thread. As above.
    @inline(never)
    private nonisolated(nonsending) func nextOfAnyTask(_ number: UInt64) async throws -> Message? {
        try await withTaskCancellationHandler {
            try unsafe await withUnsafeThrowingContinuation { unsafe reader = unsafe ($0, number) }
        } onCancel: {
            executor.run { self.cancelReader(number) }
        }
    }

    private func takeHeld() -> Message {
        var message = Message.binary([])
        swap(&message, &held[first])
        first += 1
        heldBytes -= message.count
        if first == held.count { dropHeld() }
        // Not with each message: what came meanwhile is taken up in one run.
        if isPaused, (held.count - first) * 2 <= unreadMax, heldBytes * 2 <= Self.heldBytesMax, let link { goOn(link) }
        return message
    }

    /// Sockets are many, and bursts are few: the place for more than a handful is not kept.
    private static let keptMax = 8

    private func dropHeld() {
        held.removeAll(keepingCapacity: held.capacity <= Self.keptMax)
        (first, heldBytes) = (0, 0)
    }

    private func goOn(_ link: TunnelLink) {
        guard isPaused else { return }
        isPaused = false
        session?.heardAgain(link)
        link.resume()
    }

    // MARK: output

    private func resumeWriters() {
        guard unsafe !writers.isEmpty else { return }
        let waiting = unsafe writers
        unsafe writers.removeAll(keepingCapacity: true)
        // Resumed once: they have left the list.
        for unsafe writer in unsafe waiting { unsafe writer.resume() }
    }

    /// The socket, as long as it can be sent on.
    private func open() throws -> (session: WebSocketSession, link: TunnelLink) {
        if hasReturned { throw CancellationError() }
        if let end { throw end }
        if Task.isCancelled { throw CancellationError() }
        guard let session, let link, session.isOpen(link) else {
            throw WebSocketClosed(code: session?.saidCode ?? .abnormal, reason: "", isClean: false)
        }
        return (session, link)
    }

    /// The socket, when there is room at once.
    private func roomNow() throws -> (session: WebSocketSession, link: TunnelLink)? {
        let (session, link) = try open()
        return link.hasRoom ? (session, link) : nil
    }

    /// Waits until there is room. Nothing runs on the loop between its return and what the caller does before it waits.
    private func room() async throws -> (session: WebSocketSession, link: TunnelLink) {
        while true {
            let (session, link) = try open()
            if link.hasRoom { return (session, link) }
            session.tellWhenRoom(link)
            await withTaskCancellationHandler {
                // Resumed once, when it has left the list. Nothing has run on the loop since the looks above.
                unsafe await withUnsafeContinuation { unsafe writers.append($0) }
            } onCancel: {
                // All of them look again.
                executor.run { self.resumeWriters() }
            }
        }
    }

    nonisolated(nonsending) func send(_ text: String) async throws {
        guard try executor.isHere(), let (session, link) = try roomNow() else { return try await sendLater(text) }
        // Readable during this call; its bytes are copied.
        try settle(unsafe text.utf8.span.withUnsafeBufferPointer { unsafe session.send(.text, $0, link, isBounded: false) })
    }

    /// Concurrent, as the next: on the loop's thread again when there is room, whatever actor the caller is on.
    @inline(never)
    private func sendLater(_ text: String) async throws {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { @concurrent in try await self.sendLater(text) } }
        let (session, link) = try await room()
        // Readable during this call; its bytes are copied.
        try settle(unsafe text.utf8.span.withUnsafeBufferPointer { unsafe session.send(.text, $0, link, isBounded: false) })
    }

    nonisolated(nonsending) func send(_ bytes: [UInt8], _ kind: WebSocket.Kind) async throws {
        guard try executor.isHere(), let (session, link) = try roomNow() else { return try await sendLater(bytes, kind) }
        // As above.
        try settle(unsafe bytes.span.withUnsafeBufferPointer { unsafe session.send(kind, $0, link, isBounded: false) })
    }

    @inline(never)
    private func sendLater(_ bytes: [UInt8], _ kind: WebSocket.Kind) async throws {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { @concurrent in try await self.sendLater(bytes, kind) } }
        let (session, link) = try await room()
        // As above.
        try settle(unsafe bytes.span.withUnsafeBufferPointer { unsafe session.send(kind, $0, link, isBounded: false) })
    }

    private func settle(_ sent: WebSocket.Sent) throws {
        if sent != .queued { throw WebSocketClosed(code: .abnormal, reason: "", isClean: false) }
    }

    func ping() async throws {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.ping() } }
        let (session, link) = try open()
        session.ping(link)
    }

    func close(_ code: WebSocket.CloseCode, _ reason: String) async {
        guard let isHere = try? executor.isHere() else { return }
        guard isHere else { return await withTaskExecutorPreference(executor) { await self.close(code, reason) } }
        guard let session, let link, end == nil, !hasReturned, session.isOpen(link) else { return }
        hasSaidClose = true
        session.close(code, reason, link)
    }
}
