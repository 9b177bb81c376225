// Bodies between this server and Hummingbird: NIO's buffers on one side, bytes of the loop on the other. The loop's thread.

#if Hummingbird
internal import HTTPTypes
internal import HummingbirdCore
internal import NIOCore
internal import UringServer

/// The body of a request that is still arriving.
struct RequestPieces: AsyncSequence, Sendable {
    typealias Element = ByteBuffer
    let stream: RequestBodyStream

    struct AsyncIterator: AsyncIteratorProtocol {
        var pieces: RequestBodyStream.Iterator
        mutating func next() async throws -> ByteBuffer? { try await pieces.next().map { ByteBuffer(bytes: $0) } }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(pieces: stream.makeAsyncIterator()) }
}

/// Writes a body while it is being sent.
struct StreamWriter: ResponseBodyWriter {
    /// A buffer of any size is handed over in pieces of this many bytes, so that no more of it waits in memory twice.
    private static var pieceBytes: Int { 64 * 1024 }
    let stream: ResponseStream

    mutating func write(_ buffer: ByteBuffer) async throws {
        var rest = buffer
        while let piece = rest.readBytes(length: min(Self.pieceBytes, rest.readableBytes)), !piece.isEmpty { try await stream.write(piece) }
    }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {
        guard let trailingHeaders else { return }
        for field in trailingHeaders { try await stream.addTrailer(field.name.rawName, field.value) }
    }
}

/// A small body of known length, kept until it is whole: then it leaves together with its head.
final class CollectedBody {
    var first: ByteBuffer?
    var rest: [ByteBuffer] = []
}

struct CollectingWriter: ResponseBodyWriter {
    let body: CollectedBody

    mutating func write(_ buffer: ByteBuffer) async throws {
        if body.first == nil { body.first = buffer } else { body.rest.append(buffer) }
    }

    /// Behind an announced length there are no trailers in HTTP/1.1.
    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
}

extension UringServer.Response {
    func write(_ buffer: ByteBuffer) {
        // SAFETY: the buffer's memory is readable during this call; its bytes are copied.
        unsafe buffer.withUnsafeReadableBytes { unsafe write(Span(_unsafeElements: $0.bindMemory(to: UInt8.self))) }
    }
}

extension ByteBuffer {
    init(copying bytes: borrowing Span<UInt8>) {
        self.init()
        // SAFETY: the span's memory is readable during this call; its bytes are copied.
        unsafe bytes.withUnsafeBytes { unsafe _ = writeBytes($0) }
    }
}
#endif
