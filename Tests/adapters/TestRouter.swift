// One Hummingbird application for both servers: what routers, middleware, contexts, bodies and errors can do, in small routes.

#if Hummingbird
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization

/// Reads the client's address from its channel, as contexts of real applications do.
struct TestContext: RequestContext, RemoteAddressRequestContext {
    var coreContext: CoreRequestContextStorage
    let remoteAddress: SocketAddress?
    var trail: [String] = []
    var maxUploadSize: Int { 1000 }

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}

/// Leaves its name on the way in and on the way out.
struct Trail: RouterMiddleware {
    typealias Context = TestContext
    let name: String

    func handle(_ request: Request, context: TestContext, next: (Request, TestContext) async throws -> Response) async throws -> Response {
        var context = context
        context.trail.append(name)
        var response = try await next(request, context)
        response.headers[.trail, default: ""] += name
        return response
    }
}

extension HTTPField.Name {
    static let trail = Self("X-Trail")!
    static let checksum = Self("X-Checksum")!
}

extension HTTPFields {
    fileprivate subscript(name: HTTPField.Name, default value: String) -> String {
        get { self[name] ?? value }
        set { self[name] = newValue }
    }
}

struct Order: ResponseCodable {
    let id: Int
    let name: String
}

struct UnknownToHummingbird: Error {}

struct Teapot: Error, HTTPResponseError {
    var status: HTTPResponse.Status { .init(code: 418, reasonPhrase: "I'm a teapot") }
    func response(from request: Request, context: some RequestContext) throws -> Response {
        Response(status: status, headers: [.contentType: "text/plain"], body: .init(byteBuffer: ByteBuffer(string: "short and stout")))
    }
}

/// What handlers saw that no response tells.
final class Witness: Sendable {
    private let events = Mutex<[String]>([])
    var all: [String] { events.withLock { $0 } }
    func note(_ event: String) { events.withLock { $0.append(event) } }
}

enum TestRouter {
    static let pattern: [UInt8] = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    static let pieces = 160

    static func make(_ witness: Witness) -> Router<TestContext> {
        let router = Router(context: TestContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: Trail(name: "a"))
        router.add(middleware: Trail(name: "b"))
        plain(router)
        errors(router)
        bodies(router)
        streams(router, witness)
        return router
    }

    private static func plain(_ router: Router<TestContext>) {
        router.get("hello") { _, _ in "Hello, world!" }
        router.get("users/:id/posts/:post") { _, context in "\(try context.parameters.require("id"))/\(try context.parameters.require("post", as: Int.self))" }
        router.get("files/**") { _, context in context.parameters.getCatchAll().joined(separator: "|") }
        router.get("query") { request, _ in request.uri.queryParameters.map { "\($0.key)=\($0.value)" }.joined(separator: ";") }
        router.get("head") { request, _ in
            "\(request.head.scheme ?? "-") \(request.head.authority ?? "-") \(request.head.path ?? "-")\n" + request.headers.map { "\($0.name.rawName)=\($0.value)" }.joined(separator: "\n")
        }
        router.get("order") { _, _ in Order(id: 7, name: "räksmörgås") }
        router.get("empty") { _, _ in HTTPResponse.Status.noContent }
        router.get("redirect") { _, _ in Response.redirect(to: "/hello", type: .permanent) }
        router.get("cookies") { _, _ in
            var response = Response(status: .ok, headers: [.contentType: "text/plain"], body: .init(byteBuffer: ByteBuffer(string: "x")))
            response.headers.append(HTTPField(name: .setCookie, value: "a=1"))
            response.headers.append(HTTPField(name: .setCookie, value: "b=2"))
            return response
        }
        router.get("address") { _, context in context.remoteAddress?.ipAddress ?? "unknown" }
        router.get("id") { _, context in context.id.count == 32 || context.id.count > 16 ? "an id" : context.id }
        router.get("logged") { _, context in
            context.logger.info("within")
            Logger.current.info("by task")
            var logger = context.logger
            logger[metadataKey: "user"] = "ann"
            logger.info("changed")
            return "\(context.id)"
        }
        router.group("inner").add(middleware: Trail(name: "c")).get("trail") { _, context in context.trail.joined() }
        router.on("hello", method: .init("PURGE")!) { _, _ in "purged" }
    }

    private static func errors(_ router: Router<TestContext>) {
        router.get("bad") { _, _ -> String in throw HTTPError(.badRequest, message: "not like this") }
        router.get("unauthorized") { _, _ -> String in throw HTTPError(.unauthorized, headers: [.wwwAuthenticate: "Basic"], message: nil) }
        router.get("unknown-error") { _, _ -> String in throw UnknownToHummingbird() }
        router.get("teapot") { _, _ -> String in throw Teapot() }
    }

    private static func bodies(_ router: Router<TestContext>) {
        router.post("echo") { request, _ in
            Response(status: .ok, headers: [.contentType: request.headers[.contentType] ?? "none"], body: .init(byteBuffer: try await request.body.collect(upTo: 1 << 20)))
        }
        router.post("order") { request, context in
            let order = try await request.decode(as: Order.self, context: context)
            return Order(id: order.id + 1, name: order.name)
        }
        router.post("ignore") { _, _ in "ignored" }
    }

    private static func streams(_ router: Router<TestContext>, _ witness: Witness) {
        router.post("count") { request, _ in
            var (bytes, sum) = (0, 0)
            for try await piece in request.body {
                bytes += piece.readableBytes
                for byte in piece.readableBytesView { sum = sum &* 31 &+ Int(byte) }
            }
            return "\(bytes) \(sum)"
        }
        router.post("back") { request, _ in Response(status: .ok, body: .init(asyncSequence: request.body)) }
        router.get("big") { _, _ in
            Response(
                status: .ok,
                body: .init { writer in
                    for _ in 0..<pieces { try await writer.write(ByteBuffer(bytes: pattern)) }
                    try await writer.finish(nil)
                })
        }
        router.get("big-known") { _, _ in Response(status: .ok, body: .init(byteBuffer: ByteBuffer(repeating: 120, count: 3_000_000))) }
        router.get("parts") { _, _ in Response(status: .ok, body: .init(contentsOf: [ByteBuffer(string: "one "), ByteBuffer(string: "two")])) }
        router.get("trailers") { _, _ in
            Response(
                status: .ok, headers: [.trailer: "X-Checksum"],
                body: .init { writer in
                    try await writer.write(ByteBuffer(string: "checked"))
                    try await writer.finish([.checksum: "42"])
                })
        }
        router.get("wait") { _, _ -> String in
            witness.note("waiting")
            do { try await Task.sleep(for: .seconds(60)) } catch { witness.note("cancelled") }
            return "waited"
        }
        router.get("soon") { _, _ -> String in
            witness.note("begun")
            try await Task.sleep(for: .milliseconds(100))
            return "done"
        }
    }
}
#endif
