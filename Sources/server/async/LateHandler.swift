// Handlers that are called late: within an async handler, because middleware had to wait for something first. What the loop does behind a handler's call is done here.
// The loop's thread.

internal import UringHTTP
internal import UringHTTP1

/// Calls `handler` as the loop would have: what it goes on to do asynchronously, and its receiver of the body, too. After the first wait of the async handler.
func callLate(_ handler: Handler, _ request: borrowing Request, _ response: inout Response) async throws {
    try handler(request, &response)
    response.untimeLate()
    while true {
        if let box = response.takeAsyncHandler() {
            try await box.handle(request, &response)
        } else if let receiver = response.takeReceiver() {
            try await feed(receiver, request, &response)
        } else {
            // It may have left the request to a responder, whom the loop takes over when the async handler has returned (`Loop.leaveLate`).
            return
        }
    }
}

/// Hands the body to a receiver.
private func feed(_ receiver: RequestBodyReceiver, _ request: borrowing Request, _ response: inout Response) async throws {
    guard request.isStreaming else {
        _ = try receiver.receive(RequestBodyPart(request.body, isLast: true, request.trailers), &response)
        return
    }
    let stream = try request.bodyStream
    while let piece = try await stream.next() {
        switch try deliver(piece, to: receiver, [], isLast: false, &response) {
        case .more: break
        case .pause: try await stream.source.waitForResume()
        case .finish: return
        }
    }
    _ = try deliver([], to: receiver, try await stream.trailers(), isLast: true, &response)
}

private func deliver(
    _ piece: [UInt8], to receiver: RequestBodyReceiver, _ fields: [(name: String, value: String)], isLast: Bool, _ response: inout Response
) throws -> BodyStep {
    try withHeaders(fields) { try receiver.receive(RequestBodyPart(ByteView(piece.span), isLast: isLast, $0), &response) }
}

/// Calls `body` with fields as a parser would have left them.
func withHeaders<Result>(_ fields: [(name: String, value: String)], _ body: (RequestHeaders) throws -> Result) rethrows -> Result {
    var (text, slots): ([UInt8], [FieldSlot]) = ([], [])
    for field in fields {
        let start = text.count
        text += field.name.utf8
        let known = unsafe text.withUnsafeBufferPointer { unsafe KnownField.lookup($0.baseAddress! + start, count: $0.count - start) }
        let value = text.count
        text += field.value.utf8
        // They were read from a head of less than 4 GiB, with names that fitted.
        slots.append(FieldSlot(
            nameOffset: UInt32(truncatingIfNeeded: start), valueOffset: UInt32(truncatingIfNeeded: value), valueLength: UInt32(truncatingIfNeeded: text.count - value),
            nameLength: UInt16(truncatingIfNeeded: value - start), known: known))
    }
    // An address, for none of them, too.
    text.append(0)
    slots.append(FieldSlot(nameOffset: 0, valueOffset: 0, valueLength: 0, nameLength: 1, known: .other))
    // SAFETY: both arrays are alive and in place during the call, which no view outlives.
    return try unsafe text.withUnsafeBufferPointer { text in
        try unsafe slots.withUnsafeBufferPointer { slots in
            try unsafe body(RequestHeaders(text.baseAddress!, slots.baseAddress!, count: fields.count))
        }
    }
}

extension Response {
    // SAFETY of these: the worker keeps its response state in place while its handler runs.

    fileprivate func takeAsyncHandler() -> AsyncHandlerBox? {
        guard let box = unsafe state.pointee.asyncHandler else { return nil }
        unsafe state.pointee.asyncHandler = nil
        if case .written = unsafe state.pointee.content { unsafe state.pointee.hasSpecialContent = false }
        return box
    }

    fileprivate func takeReceiver() -> RequestBodyReceiver? {
        guard let receiver = unsafe state.pointee.receiver else { return nil }
        unsafe state.pointee.receiver = nil
        return receiver
    }

    /// `disableTimeout` of a handler whose time runs already.
    fileprivate func untimeLate() {
        guard unsafe state.pointee.untimed, let loop = unsafe context.pointee.liveLoop else { return }
        unsafe loop._withUnsafeGuaranteedRef { loop in
            unsafe context.pointee.connection.pointee.machine.handlerUntimed()
            unsafe loop.armTimer(context.pointee.connection)
        }
    }
}
