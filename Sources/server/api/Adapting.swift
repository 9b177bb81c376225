// What adapters to other packages' types need beyond the public interface. The loop's thread, during a handler's call.

extension ResponseHeaders {
    /// The fields as they are set, in order, copied.
    package func forEach(_ body: (_ name: String, _ value: String) -> Void) {
        let (base, count) = unsafe (state.pointee.fields.base, state.pointee.fields.count)
        var at = 0
        while at < count {
            // Every line was rendered by ResponseHeaders: a name without a colon, ": ", a value without LF, CR LF.
            var colon = at
            while unsafe base[colon] != UInt8(ascii: ":") { colon += 1 }
            var end = colon + 2
            while unsafe base[end] != 10 { end += 1 }
            let name = unsafe String(decoding: UnsafeBufferPointer(start: base + at, count: colon - at), as: UTF8.self)
            body(name, unsafe String(decoding: UnsafeBufferPointer(start: base + colon + 2, count: end - 1 - (colon + 2)), as: UTF8.self))
            at = end + 1
        }
    }
}

extension Response {
    /// Whether the handler has chosen to go on asynchronously (`run`).
    package var goesOnAsync: Bool { unsafe state.pointee.asyncHandler != nil }

    /// Puts something around the handler that goes on asynchronously, should there be one.
    package func wrapAsync(_ transform: (@escaping AsyncHandler) -> AsyncHandler) {
        guard let box = unsafe state.pointee.asyncHandler else { return }
        run(transform(box.handle))
    }

    /// Two numbers for whoever observes the exchange (`ExchangeRecord.mark`), also when the response comes later or is an error. Kept by `restart`.
    package var exchangeMark: (UInt64, UInt64) {
        get { unsafe state.pointee.mark }
        nonmutating set { unsafe state.pointee.mark = newValue }
    }

    /// Where the request stands in a trace, for whoever observes the exchange. Kept by `restart`.
    package var exchangeTrace: ExchangeTrace {
        get { unsafe state.pointee.trace }
        nonmutating set { unsafe state.pointee.trace = newValue }
    }

    /// What a call of gRPC came to, by `GRPC.statusNames`, for whoever observes the exchange.
    package var grpcStatus: UInt8 {
        get { unsafe state.pointee.grpcStatus }
        nonmutating set { unsafe state.pointee.grpcStatus = newValue }
    }

    /// The name of the route, when the handler has set one.
    package var routeName: RouteName? { unsafe state.pointee.routeName }
}
