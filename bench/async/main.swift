// async-bench: what bench/async/run measures: the same JSON answer from handlers that are sync, async without anything to wait for, and async with one wait of the loop's
// ring; content and bodies of any size, piece by piece; and the same with hooks of a trace. One loop, a free port of 127.0.0.1.

import UringServer

var options = ServerOptions()
options.loops = .count(1)
options.timeouts.idle = .seconds(600)
options.limits.bodyBytes = 1 << 40

/// Opened by the first request that reads it. Of the one loop, whose thread alone touches it.
nonisolated(unsafe) var file: LoopFile?
let path = "/etc/hostname"
let mode = CommandLine.arguments.dropFirst().first ?? ""

@Sendable func answer(_ request: borrowing Request, _ response: inout Response) {
    response.json { json in
        json["status"] = "ok"
        json["agent"] = request.headers["user-agent"]
    }
}

let piece = [UInt8](repeating: 120, count: 64 * 1024)
var router = Router()
router.get("/sync") { request, response in answer(request, &response) }
router.get("/async") { (request: borrowing Request, response: inout Response) async throws in answer(request, &response) }
router.get("/yield") { request, response in
    await Task.yield()
    answer(request, &response)
}
router.get("/timer") { request, response in
    try await request.loop.sleep(for: .zero)
    answer(request, &response)
}
router.get("/file") { request, response in
    if unsafe file == nil {
        let opened = try await request.loop.open(path)
        unsafe file = opened
    }
    _ = try unsafe await file!.read(at: 0, upTo: 64)
    answer(request, &response)
}
// As many pieces of 64 KiB as the path says.
router.get("/down/{pieces}") { request, response in
    guard let count = request.parameter("pieces")?.decimal else { throw HTTPError(.badRequest) }
    let stream = try response.startStream()
    for _ in 0..<count { try await stream.write(piece) }
}
router.put("/up", streamingBody: true) { request, response in
    var bytes = 0
    for try await part in try request.bodyStream { bytes += part.count }
    response.write("\(bytes)\n")
}
var application = try Application(router: router)
switch mode {
case "": break
case "--trace=empty": application.trace = emptyTrace()
case "--trace=histogram": application.trace = histogramTrace()
default: fatalError("usage: async-bench [--trace=empty | --trace=histogram]")
}
try Server(listen: ["127.0.0.1:0"], options: options, application: application).run()
