// HummingbirdBridge: a request of this server, answered by a Hummingbird responder. One per application; called on loops' threads.

#if Hummingbird
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import UringHTTPTypes
internal import UringServer

final class HummingbirdBridge<Responder: HTTPResponder>: Sendable where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
    private let responder: Responder
    private let logger: Logger
    private let logHandler: RequestLogHandler.Base
    /// The configuration names the server: what handlers set gives way.
    private let ownsServerField: Bool
    private let caches = LoopCaches()

    init(responder: Responder, logger: Logger, ownsServerField: Bool) {
        (self.responder, self.logger, self.ownsServerField) = (responder, logger, ownsServerField)
        logHandler = RequestLogHandler.Base(logger.handler)
    }

    func handle(_ request: borrowing UringServer.Request, _ response: inout UringServer.Response) async throws {
        let cache = caches.cache(request)
        var logger = logger
        logger.handler = RequestLogHandler(logHandler, id: RequestID())
        let channel = cache.channel(request)
        let incoming = HummingbirdCore.Request(head: HTTPRequest(request, names: cache.names), body: try Self.body(request))
        let answer = await withLogger(logger) { logger in
            do {
                return try await responder.respond(to: incoming, context: Responder.Context(source: ApplicationRequestContextSource(channel: channel, logger: logger)))
            } catch {
                logger.debug("Unrecognised Error", metadata: ["error.type": "\(error)"])
                return HummingbirdCore.Response(status: .internalServerError)
            }
        }
        writeHead(answer, request.method == .head, response)
        guard request.method != .head else { return }
        try await Self.writeBody(answer, &response)
    }

    // MARK: the request

    /// Bodies that are announced and small come whole, with their head; others piece by piece, while the client is held back.
    func wantsStream(_ request: borrowing UringServer.Request) -> Bool {
        guard let length = request.contentLength else { return true }
        return length > UInt64(Self.wholeBodyMax)
    }
    /// What one block of the loop's pool takes in whole, several times over: beyond it back-pressure is worth more than one copy less.
    private static var wholeBodyMax: Int { 64 * 1024 }

    private static func body(_ request: borrowing UringServer.Request) throws -> RequestBody {
        if request.isStreaming { return RequestBody(asyncSequence: RequestPieces(stream: try request.bodyStream)) }
        return RequestBody(buffer: request.body.isEmpty ? ByteBuffer() : ByteBuffer(copying: request.body.span))
    }

    // MARK: the response

    private func writeHead(_ answer: HummingbirdCore.Response, _ isHead: Bool, _ response: borrowing UringServer.Response) {
        response.status = HTTPStatus(answer.status)
        for field in answer.headers {
            switch field.name {
            case .contentLength where !isHead: continue  // the server counts itself
            case .server where ownsServerField: continue
            case .connection: if field.value.lowercased() == "close" { response.closeConnection() }
            default: response.headers.add(dynamicName: field.name.rawName, field.value)
            }
        }
    }

    private static func writeBody(_ answer: HummingbirdCore.Response, _ response: inout UringServer.Response) async throws {
        let announced = answer.body.contentLength
        guard let announced, announced <= wholeAnswerMax else {
            let length = announced ?? answer.headers[.contentLength].flatMap { Int($0) }
            let stream = try response.startStream(length: length.flatMap { UInt64(exactly: $0) })
            return try await answer.body.write(StreamWriter(stream: stream))
        }
        let collected = CollectedBody()
        try await answer.body.write(CollectingWriter(body: collected))
        if let first = collected.first { response.write(first) }
        for buffer in collected.rest { response.write(buffer) }
    }
    /// Up to here the server copies a body behind its head anyway.
    private static var wholeAnswerMax: Int { 32 * 1024 }
}
#endif
