// Programs that must not compile because a view of a request would outlive it, beside programs that must.

import TestSupport
import Testing

/// A program, and what the compiler has to say of it.
struct Refused: CustomTestStringConvertible, Sendable {
    let name: String
    let program: String
    let diagnostic: String
    var testDescription: String { name }

    init(_ name: String, saying diagnostic: String = "escapes its scope", _ program: String) {
        (self.name, self.diagnostic, self.program) = (name, diagnostic, program)
    }

    /// A handler that stores something in a variable of the program.
    static func kept(_ type: String, _ name: String, saying diagnostic: String = "escapes its scope", _ statement: String, importing module: String = "UringServer") -> Refused {
        Refused(
            name, saying: diagnostic,
            """
            import \(module)
            nonisolated(unsafe) var kept: \(type)? = nil
            let server = Server(listen: []) { request, response in
                \(statement)
            }
            """)
    }

    /// The body of an async handler.
    static func asyncHandler(_ name: String, saying diagnostic: String = "escapes its scope", _ body: String, before: String = "") -> Refused {
        Refused(name, saying: diagnostic, before + "let server = Server(listen: [], async: { request, response in\n\(body)\n})\n")
    }

    /// The body of a handler.
    static func handler(_ name: String, saying diagnostic: String = "escapes its scope", _ body: String) -> Refused {
        Refused(name, saying: diagnostic, "let server = Server(listen: []) { request, response in\n\(body)\n}\n")
    }
}

@Suite struct EscapeTests {
    private static let refused: [Refused] = [
        // returned
        Refused(
            "a path returned from a function", saying: "cannot return a ~Escapable result",
            "func path(_ request: borrowing Request) -> ByteView { request.path }"),
        .handler(
            "a path returned from a closure", 
            "    let path = { () -> ByteView in request.path }\n    _ = path()"),
        .handler(
            "a path returned from the handler", saying: "cannot convert value of type 'ByteView'", "    return request.path"),
        // stored in a variable of the program
        .kept("ByteView", "the path", "kept = request.path"),
        .kept("ByteView", "the body", "kept = request.body"),
        .kept("ByteView", "the query", "kept = request.query"),
        .kept("ByteView", "a header value", #"kept = request.headers["host"]"#),
        .kept("ByteView", "a header by index", "kept = request.headers.value(at: 0)"),
        .kept("ByteView", "a parameter", #"kept = request.parameter("id")"#),
        .kept("ByteView", "a cookie", #"kept = request.headers.cookie("id")"#),
        .kept("ByteView", "a view through a local", "let path = request.path; kept = path"),
        .kept("ByteView", "a value of the query", #"kept = request.query?.formValue("q")"#),
        .kept("ByteView", "a pair of a form", "var pairs = request.body.formPairs; while let pair = pairs.next() { kept = pair.value }"),
        .kept("Span<UInt8>", "a span", "kept = request.body.span"),
        .kept("RequestHeaders", "the headers", "kept = request.headers"),
        .kept("Request", "the request", "kept = request"),
        .kept("Response", "the response", saying: "consum", "kept = response"),
        .kept("ResponseHeaders", "the response's headers", "kept = response.headers"),
        .kept("JSONObject", "a JSON writer", saying: "consum", "response.json { json in kept = json }"),
        .kept("ByteView", "a piece of a body", "response.receiveBody { part, response in kept = part.bytes; return .more }"),
        // stored elsewhere
        Refused(
            "a view in a variable outside", saying: "escapes its scope",
            """
            func use(_ body: (borrowing Request, inout Response) -> Void) {}
            func run() {
                var kept: ByteView? = nil
                use { request, response in kept = request.path }
                _ = kept?.count
            }
            """),
        Refused(
            "a view in a class", saying: "~Escapable result",
            """
            final class Box { var view: ByteView? = nil }
            let box = Box()
            let server = Server(listen: []) { request, response in box.view = request.path }
            """),
        Refused("a view in a struct", saying: "non-Escapable type", "struct Box { var view: ByteView }"),
        .handler("a view in an array", saying: "Escapable", "    var views: [ByteView] = []\n    views.append(request.path)"),
        .handler("a view as Any", saying: "Escapable", "    let any: Any = request.path\n    _ = any"),
        // captured
        .handler("a view in a task", "    let path = request.path\n    Task { print(path.count) }"),
        .handler("the request in a task", "    Task { print(request.path.count) }"),
        .handler("a view in a producer", "    let path = request.path\n    response.stream { writer in writer.write(path.span); return .end }"),
        .handler("the request in a producer", "    response.stream { writer in writer.write(request.path.span); return .end }"),
        .handler(
            "the request in a closure within a producer",
            "    func path() -> String { String(request.path) }\n    response.stream { writer in writer.write(path()); return .end }"),
        .handler("the request in a receiver", "    response.receiveBody { part, response in response.write(request.path); return .more }"),
        .handler(
            "a piece of a body in a producer",
            """
                response.receiveBody { part, response in
                    response.stream { writer in writer.write(part.bytes.span); return .end }
                    return .more
                }
            """),
        .handler(
            "the response in a producer", saying: "escaping closure captures 'inout' parameter",
            "    response.stream { writer in response.write(\"x\"); return .end }"),
        .handler("the request in an upgrade", "    response.upgrade(to: \"echo\") { connection in print(request.path.count) }"),
        .handler("the request in a WebSocket", "    response.webSocket { socket, event in print(request.path.count) }"),
        .handler("a WebSocket in a task", "    response.webSocket { socket, event in Task { socket.close() } }"),
        .handler(
            "a message of a WebSocket in a task",
            "    response.webSocket { socket, event in if case .message(let message) = event { Task { print(message.bytes.count) } } }"),
        // async handlers
        .asyncHandler("an async handler's request in a task", "    Task { print(request.path.count) }\n    await Task.yield()"),
        .asyncHandler(
            "an async handler's request in a task of its loop",
            "    let loop = request.loop\n    Task(executorPreference: loop.taskExecutor) { print(request.path.count) }\n    await Task.yield()"),
        .asyncHandler("an async handler's view in a task", "    let path = request.path\n    await Task.yield()\n    Task { print(path.count) }"),
        .asyncHandler("an async handler's view in blocking work", saying: "non-Sendable type 'Request'", "    _ = try await request.loop.offload { request.path.count }"),
        .asyncHandler("an async handler's request in a child task", saying: "escap", "    async let count = request.path.count\n    _ = await count"),
        .asyncHandler(
            "an async handler's request in a task group", saying: "escap",
            "    await withTaskGroup(of: Int.self) { group in group.addTask { request.path.count } }"),
        .asyncHandler(
            "an async handler's response in a task", saying: "escaping closure captures 'inout' parameter",
            "    Task { response.write(\"x\") }\n    await Task.yield()"),
        .asyncHandler(
            "an async handler's path in a variable of the program", "    await Task.yield()\n    kept = request.path", before: "nonisolated(unsafe) var kept: ByteView? = nil\n"),
        // claims of a token, which do not borrow the response
        .kept("ByteView", "a subject", "kept = response.claims?.subject", importing: "UringServerJWT"),
        .kept("ByteView", "a claim's text", #"kept = response.claims?["name"]?.string"#, importing: "UringServerJWT"),
        .kept("TokenClaims", "claims", "kept = response.claims", importing: "UringServerJWT"),
        // writers
        .handler(
            "an outer JSON writer while an inner one is open", saying: "overlapping accesses",
            #"    response.json { json in json.object("a") { inner in json["b"] = 1 } }"#),
        .handler(
            "the response while a JSON writer is open", saying: "overlapping accesses",
            #"    response.json { json in response.write("x") }"#),
        .handler("reading from a JSON writer", saying: "JSON is written, not read", #"    response.json { json in let a: Int? = json["a"]; _ = a }"#),
        // middleware
        Refused(
            "what lies within a middleware", saying: "escap",
            """
            nonisolated(unsafe) var kept: ((borrowing Request, inout Response) throws -> Void)? = nil
            var router = Router()
            router.use { request, response, next in kept = next }
            """),
        Refused(
            "a middleware's request in a task", saying: "escap",
            """
            var router = Router()
            router.use { request, response, next in Task { try next(request, &response) } }
            """),
    ]

    @Test(arguments: refused)
    func doesNotCompile(_ refused: Refused) throws {
        let verdict = try Compiler().compile("import UringServer\n" + refused.program)
        guard let verdict else {
            Issue.record("it compiles: \(refused.program)")
            return
        }
        #expect(verdict.contains("error:") && verdict.contains(refused.diagnostic), "\(verdict)")
    }

    /// The control: without it every program could be refused because the module was not found.
    @Test func theFirstProgramCompiles() throws {
        let program = """
            import UringServer

            let server = Server(listen: ["127.0.0.1:8080"]) { request, response in
                response.status = .ok
                response.headers["content-type"] = "application/json"
                response.write(#"{"status":"ok"}"#)
            }
            try server.run()          // until SIGTERM; drains

            """
        #expect(try Compiler().compile(program) == nil)
    }

    /// What comes close to an escape and is none.
    @Test func ordinaryAsyncUsesCompile() throws {
        let program = """
            import UringServer

            func greeting(_ request: borrowing Request) async -> String {
                await Task.yield()
                return String(request.path)
            }

            actor Log { func add(_ line: String) {} }
            let log = Log()

            let server = Server(listen: [], async: { request, response in
                let path = request.path
                let text = String(path)
                async let logged: Void = log.add(text)
                response.write(await greeting(request))
                response.write(path)
                await logged
                let loop = request.loop
                let stream = try response.startStream()
                Task(executorPreference: loop.taskExecutor) { try await stream.write(text) }
                for try await piece in try request.bodyStream { try await stream.write(piece) }
            })
            """
        #expect(try Compiler().compile(program) == nil)
    }

    /// The same for handlers that are not async.
    @Test func ordinaryUsesCompile() throws {
        let program = """
            import UringServer

            func greeting(_ request: borrowing Request) -> String { String(request.path) }

            let server = Server(listen: []) { request, response in
                let copy = request
                func size(_ name: StaticString) -> Int { request.headers[name]?.count ?? 0 }
                let text = String(request.path)
                let bytes = [UInt8](request.body)
                response.write(greeting(copy))
                response.write("\\(size("accept"))")
                [1, 2].forEach { number in response.write("\\(number) \\(request.path.count)") }
                response.json { json in
                    json["path"] = request.path
                    json["agent"] = request.headers["user-agent"]
                    json.array("pairs") { items in
                        guard let query = request.query else { return }
                        var pairs = query.formPairs
                        while let pair = pairs.next() { items.append(pair.name) }
                    }
                }
                Task { print(text) }
                response.stream { writer in
                    writer.write(bytes)
                    return .end
                }
            }
            """
        #expect(try Compiler().compile(program) == nil)
    }
}
