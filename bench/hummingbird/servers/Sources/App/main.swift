// One Hummingbird application, on either server: hummingbird-bench uring|nio PORT

import Hummingbird
import Logging
import UringHummingbird

struct Status: ResponseEncodable {
    let status: String
}

func makeRouter() -> Router<BasicRequestContext> {
    let router = Router()
    router.get("hello") { _, _ in "Hello, world!" }
    router.get("json") { _, _ in Status(status: "ok") }
    router.get("users/:id") { _, context in "user \(try context.parameters.require("id"))" }
    router.post("echo") { request, _ in Response(status: .ok, body: .init(byteBuffer: try await request.body.collect(upTo: 1 << 20))) }
    return router
}

let arguments = CommandLine.arguments
guard arguments.count == 3, let port = Int(arguments[2]) else { fatalError("usage: hummingbird-bench uring|nio PORT") }
let configuration = ApplicationConfiguration(address: .hostname("127.0.0.1", port: port))
var logger = Logger(label: "bench")
logger.logLevel = .error
switch arguments[1] {
case "uring": try await UringApplication(router: makeRouter(), configuration: configuration, logger: logger).runService()
case "nio": try await Application(router: makeRouter(), configuration: configuration, logger: logger).runService()
default: fatalError("usage: hummingbird-bench uring|nio PORT")
}
