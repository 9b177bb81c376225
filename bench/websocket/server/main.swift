// A WebSocket server that sends every message back: one loop, on the port of 127.0.0.1 that is its argument. Measured by bench/websocket/echo.

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
try Server(listen: ["127.0.0.1:\(CommandLine.arguments[1])"], options: options, router: router).run()
