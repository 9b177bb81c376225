// ClientRequestHead: a request as it is given to a connection, which writes it in its protocol's form, straight into its output. Values and pointers of the caller, good
// for one call. The loop's thread.

package import UringHTTP
internal import UringHTTP1

/// What the first line of a request says, in any version, and how its body is sent. The texts are the caller's, for the call that is given it.
@unsafe package struct ClientRequestHead {
    /// Its name; of a known method `RequestEncoder.name(of:)`.
    package var method: UnsafeBufferPointer<UInt8>
    /// Path and query, or `*`; of CONNECT the same as `authority`.
    package var target: UnsafeBufferPointer<UInt8>
    /// For Host, or `:authority`: `host[:port]`.
    package var authority: UnsafeBufferPointer<UInt8>
    /// `none`: the head is all. `length(0)` says so where servers want to hear it (`RequestEncoder.framing`). `chunked`: of unknown length; on HTTP/2 without that field.
    package var body: BodyFraming
    /// HTTP/1.1: the body waits for `ClientConsumer.maySend` (RFC 9110 section 10.1.1). HTTP/2 sends it at once.
    package var expectsContinue = false
    /// HTTP/1.1: the caller writes an Upgrade field, or the method is CONNECT. Such a request has no body.
    package var asksUpgrade = false
    /// Says `TE: trailers`.
    package var acceptsTrailers = false
    /// About how long the fields are, for the room that is made for them. Wrong is slower, not wrong.
    package var fieldBytes = 512

    package init(method: UnsafeBufferPointer<UInt8>, target: UnsafeBufferPointer<UInt8>, authority: UnsafeBufferPointer<UInt8>, body: BodyFraming) {
        unsafe (self.method, self.target, self.authority, self.body) = unsafe (method, target, authority, body)
    }

    /// Nothing follows the head.
    var isWhole: Bool { unsafe body == .none || body == .length(0) }
}

/// What has become of `ClientConnection.start`. The connection is the caller's no longer, whatever it answers.
package enum ClientStart {
    case started(ClientRequestHandle)
    /// The connection has gone meanwhile, or takes no request any more: nothing was sent. Ask the pool anew.
    case gone
    /// The request cannot be sent, here or elsewhere.
    case refused(HTTPClientError)
}

/// Writes field lines into the connection's output. Called within `start` and `endBody`; the closure that gets it may be called twice, with more room, and does nothing else.
///
/// Fields that the connection decides (Host, Content-Length, Transfer-Encoding, Connection, …) cannot be written. In trailers what does not belong there is left out.
@safe
package struct ClientFieldWriter: ~Copyable {
    /// `capacity` bytes, the connection's, for this call.
    private let out: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private let isTrailers: Bool
    /// Bytes that are written, or would be.
    private(set) var needed = 0
    private(set) var fault: RequestEncodeFault?

    init(_ out: UnsafeMutablePointer<UInt8>, capacity: Int, isTrailers: Bool = false) {
        unsafe (self.out, self.capacity, self.isTrailers) = unsafe (out, capacity, isTrailers)
    }

    /// Bytes written; nil when there was no room for all.
    var count: Int? { needed <= capacity ? needed : nil }

    /// Adds a field line. The texts are the caller's, for this call.
    package mutating func add(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) {
        if isTrailers, let start = name.baseAddress, unsafe KnownField.lookup(start, count: name.count).isForbiddenInTrailers { return }
        // Behind what did not fit nothing is written, only measured: lines must stay in order.
        let room = max(0, capacity - needed)
        switch unsafe RequestEncoder.writeField(name: name, value: value, into: out + min(needed, capacity), capacity: room) {
        case .written(let bytes): needed += bytes
        case .noRoom(let bytes): needed = max(capacity, needed) + bytes
        case .invalid(let found): if !isTrailers { fault = fault ?? found }
        }
    }

    /// Adds lines that were checked when they were written (`ProxyRequest`): `name: value` and CRLF each, none of them the connection's own.
    mutating func add(lines: UnsafeBufferPointer<UInt8>) {
        guard let start = lines.baseAddress else { return }
        if needed <= capacity, lines.count <= capacity - needed {
            unsafe (out + needed).update(from: start, count: lines.count)
            needed += lines.count
        } else {
            needed = max(capacity, needed) + lines.count
        }
    }

    package mutating func add(_ name: StaticString, _ value: UnsafeBufferPointer<UInt8>) {
        // A literal lives as long as the program.
        unsafe add(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), value)
    }

    package mutating func add(_ name: StaticString, _ value: StaticString) {
        // As above.
        unsafe add(name, UnsafeBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
    }

    package mutating func add(_ name: borrowing ByteView, _ value: borrowing ByteView) {
        // SAFETY: the views' bytes are readable during this call; they are copied.
        unsafe name.span.withUnsafeBufferPointer { name in unsafe value.span.withUnsafeBufferPointer { value in unsafe add(name, value) } }
    }

    package mutating func add(_ name: String, _ value: String) {
        // SAFETY: as above.
        unsafe name.utf8.span.withUnsafeBufferPointer { name in unsafe value.utf8.span.withUnsafeBufferPointer { value in unsafe add(name, value) } }
    }
}

extension HTTPClientError {
    init(_ fault: RequestEncodeFault) { self.init(.invalidRequest, "\(fault.reason)") }
}
