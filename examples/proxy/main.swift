// A reverse proxy: bodies stream through it in both directions, no faster than whoever reads them, and fields that concern one connection only stay behind.
//
//     swift run proxy 127.0.0.1:8080 http://127.0.0.1:9000

import Glibc
import UringServer

/// Belongs to the connection, not to the message (RFC 9110 section 7.6.1), or is set anew for the next one.
let ownFields: Set<String> = [
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host", "expect", "content-length",
]

/// Without those, and without what Connection names.
func passedOn(_ fields: [(name: String, value: String)]) -> [(String, String)] {
    let named = fields.filter { $0.name.lowercased() == "connection" }.flatMap { $0.value.lowercased().split { ", \t".contains($0) }.map(String.init) }
    return fields.filter { !ownFields.contains($0.name.lowercased()) && !named.contains($0.name.lowercased()) }.map { ($0.name, $0.value) }
}

let arguments = CommandLine.arguments.dropFirst()
let upstream = arguments.dropFirst().first ?? "http://127.0.0.1:9000"
var clientOptions = HTTPClientOptions()
clientOptions.connectTimeout = .seconds(2)
clientOptions.headTimeout = .seconds(3)
let client = HTTPClient(options: clientOptions)

var router = Router()
router.any("/{path*}", streamingBody: true) { request, response in
    guard request.method != .other else { throw HTTPError(.notImplemented) }
    let (fields, body) = (request.headers, try request.bodyStream)
    var headers = passedOn((0..<fields.count).map { (String(fields.name(at: $0)), String(fields.value(at: $0))) })
    headers += [("x-forwarded-for", request.remoteAddress), ("x-forwarded-host", String(request.authority))]
    // Pulled piece by piece: nothing is read from the client that the upstream has no room for.
    let pieces = AsyncThrowingStream<[UInt8], any Error> { try await body.next() }
    let content: HTTPClientRequest.Body = request.contentLength == 0 ? .none : .stream(length: request.contentLength, pieces)

    let answer: HTTPClientResponse
    do {
        answer = try await client.send(HTTPClientRequest(request.method, upstream + String(request.target), headers: headers, body: content))
    } catch let error as HTTPClientError {
        let isLate = error.reason == .timeout || error.reason == .connect(ETIMEDOUT)
        throw HTTPError(isLate ? .gatewayTimeout : .badGateway, isLate ? "the upstream takes too long" : "the upstream cannot be asked")
    }

    response.status = answer.status
    for (name, value) in passedOn(answer.headers) { response.headers.add(dynamicName: name, value) }
    // Fails below cut the connection: the client must not take a part for the whole.
    let stream = try response.startStream(length: answer.contentLength)
    for try await piece in answer.body { try await stream.write(piece) }
    for (name, value) in try await answer.body.trailers() { try await stream.addTrailer(name, value) }
}

var options = ServerOptions()
options.limits.bodyBytes = 1 << 40
try Server(listen: [arguments.first ?? "127.0.0.1:8080"], options: options, router: router).run()
