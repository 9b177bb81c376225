// ClientRequestHandle: how the owner of one exchange speaks to the connection that it runs on. A value of two words; the loop's thread.

/// One request that was started. Good until its consumer has heard the last of it, without effect afterwards.
package struct ClientRequestHandle {
    package let connection: ClientConnection
    /// Of the exchange, on its connection.
    let number: UInt64

    /// Queues bytes of the request's body. They are copied, all of them, unless the request takes none: before `maySend` of a request that expects it, after `stopSending`, `endBody`
    /// and the end.
    ///
    /// More than was announced, or an end before that, cuts the request off: its consumer hears `failed`.
    /// - Parameter isLast: as `endBody` behind it, for a frame less.
    /// - Returns: whether there is room for more now; if not, `ClientConsumer.maySend` tells when there is again. Whoever goes on all the same makes the loop hold it in memory.
    @discardableResult
    package func sendBody(_ bytes: UnsafeRawBufferPointer, isLast: Bool = false) -> Bool { unsafe connection.sendBody(number, bytes, isLast: isLast) }

    @discardableResult
    package func sendBody(_ bytes: borrowing RawSpan, isLast: Bool = false) -> Bool {
        // SAFETY: the span's bytes are readable during this call; they are copied.
        unsafe bytes.withUnsafeBytes { unsafe sendBody($0, isLast: isLast) }
    }

    @discardableResult
    func sendBody(_ bytes: [UInt8], isLast: Bool = false) -> Bool {
        // As above.
        unsafe bytes.withUnsafeBytes { unsafe sendBody($0, isLast: isLast) }
    }

    /// The request's body is complete. Once; not needed for a request without body.
    package func endBody() { connection.endBody(number) }

    /// The same, with fields behind the body: as trailers of HTTP/2, and of HTTP/1.1 when the body is chunked; otherwise they are left out.
    package func endBody(trailers: (inout ClientFieldWriter) -> Void) { connection.endBody(number, trailers: trailers) }

    /// The consumer takes bytes of the response again. They may come within this call.
    package func resumeBody() { connection.resumeBody(number) }

    /// Nobody wants the response any more: the consumer is told nothing more. HTTP/1.1 has to give its connection up.
    package func cancel() { connection.cancel(number) }
}
