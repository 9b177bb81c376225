// A WebSocket server that sends every message back: one loop, on the port of 127.0.0.1 that is its first argument, and over TLS on its second. `/` is answered by a sync handler, `/async`
// by an async one. Measured by bench/websocket/echo.

import UringServer

var options = ServerOptions()
options.loops = .count(1)
options.limits.connections = 20_000
var router = Router()
router.get("/") { request, response in
    response.webSocket { socket, event in
        if case .message(let message) = event { socket.send(message) }
    }
}
router.webSocket("/async") { socket in
    for try await message in socket.messages { try await socket.send(message) }
}
var listeners: [Listener] = [Listener("127.0.0.1:\(CommandLine.arguments[1])")]
if CommandLine.arguments.count > 2 { listeners.append(Listener("127.0.0.1:\(CommandLine.arguments[2])", tls: .selfSigned())) }
try Server(listeners: listeners, options: options, application: Application(router: router)).run()
