// alloc-probe: a server whose handler reads a request header and writes JSON, for counting what a request costs. Tests/Allocation/run
// starts it, loads it and judges. One loop, a free port of 127.0.0.1; prints the lines `listening on …` that every server prints.
//
//   alloc-probe               `GET /counts` answers with what the process has counted (CAllocationCount), and how many requests it has had; `/socket` is a
//                             WebSocket that sends every message back, which counts as a request; `/async-socket` does so by an async handler
//   alloc-probe --tls         has a second port, with TLS and a certificate made at start
//   alloc-probe --middleware  has a router: /step/ with middleware that sets a value and registers a step, /coded/ compressed,
//                             /token/ behind `Middleware.jwt` with HS256
//   alloc-probe --waste       the handler makes a String of the header: what the counters must notice
//   alloc-probe --async       the same handlers, async, without anything to wait for
//   alloc-probe --trace       every hook of a `ServerTrace` is set; with it `/counts` fails when one of them was not called

import CAllocationCount
import Glibc
import UringServer
import UringServerCompression
import UringServerJWT

let arguments = Set(CommandLine.arguments.dropFirst())
guard arguments.isSubset(of: ["--tls", "--waste", "--async", "--middleware", "--trace"]) else {
    fatalError("usage: alloc-probe [--tls] [--waste] [--trace] [--async | --middleware]")
}
let wastes = arguments.contains("--waste")
let traces = arguments.contains("--trace")

var options = ServerOptions()
options.loops = .count(1)
options.timeouts.idle = .seconds(600)

guard ac_separate_openssl() else { fatalError("OpenSSL has allocated already") }
var listeners: [Listener] = ["127.0.0.1:0"]
if arguments.contains("--tls") { listeners.append(Listener("127.0.0.1:0", tls: .selfSigned())) }

/// Of the one loop, whose thread alone touches it.
nonisolated(unsafe) let requests = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
unsafe requests.initialize(to: 0)

@Sendable func answer(_ request: borrowing Request, _ response: inout Response) {
    unsafe requests.pointee &+= 1
    if request.path == "/socket" {
        response.webSocket { socket, event in
            guard case .message(let message) = event else { return }
            unsafe requests.pointee &+= 1
            if wastes { socket.send(message.text) } else { socket.send(message) }
        }
        return
    }
    if request.path == "/async-socket" {
        response.webSocket { socket in
            for try await message in socket.messages {
                unsafe requests.pointee &+= 1
                try await socket.send(message)
            }
        }
        return
    }
    response.setRoute("probe")
    if request.path == "/counts" {
        // Those under way are fewer.
        if traces, (0..<6).contains(where: { unsafe hookCalls[$0] &+ 5000 < requests.pointee }) {
            response.status = .internalServerError
            return
        }
        let counts = ac_read()
        return response.json { json in
            json.set("allocations", counts.allocations)
            json.set("frees", counts.frees)
            json.set("retains", counts.retains)
            json.set("releases", counts.releases)
            json.set("openssl", counts.openssl)
            unsafe json.set("requests", requests.pointee)
        }
    }
    if request.path == "/text" {
        response.headers["content-type"] = "application/json"
        response.write(#"{"status":"ok","agent":""#)
        if let agent = request.headers["user-agent"] { response.write(agent) }
        return response.write(#""}"#)
    }
    response.json { json in
        json["status"] = "ok"
        if wastes, let agent = request.headers["user-agent"] { json["agent"] = String(agent) + "." } else { json["agent"] = request.headers["user-agent"] }
    }
}

func router() throws -> Router {
    let (user, step) = (RequestKey<UInt64>(), ResponseStep { response, note in if note == 0 { response.status = .internalServerError } })
    let page = String(repeating: "<li>an item of a list</li>\n", count: 150)
    var router = Router()
    router.get("/counts") { request, response in answer(request, &response) }
    router.group("/step") { group in
        group.use { request, response, next in
            response[user] = 42
            response.beforeSending(step, note: 1)
            try next(request, &response)
        }
        group.get("/") { _, response in
            unsafe requests.pointee &+= 1
            if response[user] == 42 { response.write("hello") }
        }
    }
    router.group("/coded") { group in
        group.use(.compression())
        group.get("/") { _, response in
            unsafe requests.pointee &+= 1
            response.headers["content-type"] = "text/html"
            response.write(page)
        }
    }
    // Tests/Allocation/run signs with the same secret.
    let gate = try Middleware.jwt(try .secret(Array("0123456789abcdef0123456789abcdef".utf8)), JWTOptions(audience: .oneOf(["orders"])))
    router.group("/token") { group in
        group.use(gate)
        group.get("/") { _, response in
            unsafe requests.pointee &+= 1
            guard let subject = response.claims?.subject else { throw HTTPError(.forbidden) }
            response.json { json in json["subject"] = subject }
        }
    }
    return router
}

/// How often the hooks of requests were called, each by itself. Of the one loop, whose thread alone touches it.
nonisolated(unsafe) let hookCalls = UnsafeMutablePointer<UInt64>.allocate(capacity: 6)
unsafe hookCalls.initialize(repeating: 0, count: 6)

func trace() -> ServerTrace {
    var trace = ServerTrace()
    trace.connectionAccepted = { _ in }
    trace.requestParsed = { _, _, _ in unsafe hookCalls[0] &+= 1 }
    trace.requestRefused = { _, _ in }
    trace.handlerBegan = { request, _ in unsafe hookCalls[1] &+= UInt64(request.number == 0 ? 0 : 1) }
    trace.routeChosen = { _, _ in unsafe hookCalls[2] &+= 1 }
    trace.handlerEnded = { _, how in unsafe hookCalls[3] &+= how == .returned ? 1 : 0 }
    trace.responseBegan = { _, status in unsafe hookCalls[4] &+= status == .ok ? 1 : 0 }
    trace.responseSent = { request in unsafe hookCalls[5] &+= request.moment.nanoseconds > 0 ? 1 : 0 }
    trace.responseAborted = { _, _ in }
    trace.connectionClosed = { _, _ in }
    return trace
}

var application =
    if arguments.contains("--middleware") {
        try Application(router: try router())
    } else if arguments.contains("--async") {
        Application(async: { request, response in answer(request, &response) })
    } else {
        Application { request, response in answer(request, &response) }
    }
if traces { application.trace = trace() }
try Server(listeners: listeners, options: options, application: application).run()
