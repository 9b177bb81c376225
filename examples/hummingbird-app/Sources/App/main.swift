// A Hummingbird application: `swift run App` on this project's server, `swift run App nio` on Hummingbird's own. One line differs.

import Hummingbird
import NIOCore
import UringHummingbird

struct Order: ResponseCodable {
    let id: Int
    let item: String
}

/// A context of its own, as real applications have: it tells the client's address.
struct AppContext: RequestContext, RemoteAddressRequestContext {
    var coreContext: CoreRequestContextStorage
    let remoteAddress: SocketAddress?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }
}

let router = Router(context: AppContext.self)
router.add(middleware: LogRequestsMiddleware(.info))
router.get("hello") { _, _ in "Hello, world!\n" }
router.get("whoami") { _, context in "\(context.remoteAddress?.ipAddress ?? "somebody")\n" }
router.get("orders/:id") { _, context in Order(id: try context.parameters.require("id", as: Int.self), item: "tea") }
router.post("orders") { request, context in
    let order = try await request.decode(as: Order.self, context: context)
    return EditedResponse(status: .created, response: order)
}
// Both directions piece by piece: a body of any size, in little memory.
router.post("echo") { request, _ in Response(status: .ok, body: .init(asyncSequence: request.body)) }

let configuration = ApplicationConfiguration(address: .hostname("127.0.0.1", port: 8080), serverName: "orders")
if CommandLine.arguments.contains("nio") {
    let app = Application(router: router, configuration: configuration)
    try await app.runService()
} else {
    let app = UringApplication(router: router, configuration: configuration)
    try await app.runService()
}
