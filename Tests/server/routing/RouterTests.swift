// Which handler gets a request, and with which parameters.

import TestSupport
import Testing
import UringHTTP
import UringServer

@Suite struct RouterTests {
    /// Each route answers its own pattern and the parameters named in it.
    private static func router() -> Router {
        var router = Router()
        func route(_ pattern: String, _ names: StaticString...) {
            router.get(pattern) { request, response in
                response.write(pattern)
                for name in names {
                    response.write(" ")
                    if let value = request.parameter(name) { response.write(value) } else { response.write("-") }
                }
            }
        }
        route("/")
        route("/users")
        route("/users/")
        route("/users/me")
        route("/users/{id}", "id", "other")
        route("/users/{id}/posts/{post}", "id", "post")
        route("/users/me/settings")
        route("/files/{rest*}", "rest")
        route("/files/readme")
        route("/assets/*", "rest")
        route("/café/a b")
        route("/{first}/{second}/{third}", "first", "second", "third")
        return router
    }

    @Test(arguments: [
        ("/", "/"),
        ("/users", "/users"),
        ("/users/", "/users/"),
        ("/users/me", "/users/me"),
        ("/users/42", "/users/{id} 42 -"),
        ("/users/42?id=7", "/users/{id} 42 -"),
        ("/users/a%2Fb", "/users/{id} a%2Fb -"),
        ("/users/%6de", "/users/me"),
        ("/users/%6D%65", "/users/me"),
        ("/users/..", "/users/{id} .. -"),
        ("/users/42/posts/7", "/users/{id}/posts/{post} 42 7"),
        // The text `me` leads to a dead end: the parameter is tried after it.
        ("/users/me/posts/7", "/users/{id}/posts/{post} me 7"),
        ("/users/me/settings", "/users/me/settings"),
        ("/users/a/b", "/{first}/{second}/{third} users a b"),
        ("/files/", "/files/{rest*} "),
        ("/files/a/b//c", "/files/{rest*} a/b//c"),
        ("/files/readme", "/files/readme"),
        ("/files/readme/", "/files/{rest*} readme/"),
        ("/assets/x/y", "/assets/* -"),
        ("/caf%C3%A9/a%20b", "/café/a b"),
        ("http://other.example/users/42", "/users/{id} 42 -"),
    ])
    func leadsTo(target: String, expected: String) throws {
        let server = try TestServer(router: Self.router())
        let response = try server.get(target)
        #expect(response.status == 200)
        #expect(response.bodyText == expected)
    }

    @Test(arguments: ["/user", "/users//", "/users/me/posts/7/8", "/files", "//", "/a//b", "/Users", "/caf%C3%A9/a+b", "/users/m%65%65/x/y/z"])
    func leadsNowhere(target: String) throws {
        let server = try TestServer(router: Self.router())
        let response = try server.get(target)
        #expect(response.status == 404)
        #expect(response.bodyText == "404 Not Found\n")
        #expect(response.value("content-type") == "text/plain; charset=utf-8")
    }

    /// One connection takes all routes in turn, so that nothing of one request is seen in the next.
    @Test func capturesDoNotLeak() throws {
        let server = try TestServer(router: Self.router())
        let client = try server.client()
        for _ in 0..<3 {
            for (target, expected) in [("/users/1/posts/2", "/users/{id}/posts/{post} 1 2"), ("/users/me", "/users/me"), ("/assets/q", "/assets/* -")] {
                try client.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try client.readResponse().bodyText == expected)
            }
        }
    }

    @Test func methods() throws {
        var router = Router()
        router.get("/a") { _, response in response.write("get") }
        router.post("/a") { _, response in response.write("post") }
        router.put("/a") { _, response in response.write("put") }
        router.patch("/a") { _, response in response.write("patch") }
        router.delete("/a") { _, response in response.write("delete") }
        router.on(.trace, "/a") { _, response in response.write("trace") }
        let server = try TestServer(router: router)
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"] {
            #expect(try server.request(method, "/a", ["Content-Length: 0"]).bodyText == method.lowercased())
        }
    }

    @Test func otherMethodsAreRefusedWithAllow() throws {
        var router = Router()
        router.get("/a") { _, _ in }
        router.on(.delete, "/{any}") { _, _ in }
        let server = try TestServer(router: router)
        let response = try server.request("POST", "/a", ["Content-Length: 0"])
        #expect(response.status == 405)
        #expect(response.value("allow") == "GET, HEAD, DELETE, OPTIONS")
        #expect(try server.request("PURGE", "/b").value("allow") == "DELETE, OPTIONS")
    }

    @Test func aPlaceWithoutTheMethodIsPassedOver() throws {
        var router = Router()
        router.get("/users/me") { _, response in response.write("me") }
        router.post("/users/{id}") { request, response in response.write(request.parameter("id")!) }
        let server = try TestServer(router: router)
        #expect(try server.request("POST", "/users/me", ["Content-Length: 0"]).bodyText == "me")
    }

    @Test func headIsAnsweredByGet() throws {
        var router = Router()
        router.get("/a") { _, response in response.write("twelve bytes") }
        router.get("/b") { _, response in response.write("body") }
        router.on(.head, "/b") { _, response in response.headers["x-own"] = "yes" }
        let server = try TestServer(router: router)
        let response = try server.request("HEAD", "/a")
        #expect(response.status == 200)
        #expect(response.value("content-length") == "12")
        #expect(try server.request("HEAD", "/b").value("x-own") == "yes")
    }

    @Test func optionsAreAnswered() throws {
        var router = Router()
        router.get("/a") { _, _ in }
        router.post("/b") { _, _ in }
        router.on(.options, "/c") { _, response in response.write("own") }
        let server = try TestServer(router: router)
        let response = try server.request("OPTIONS", "/a")
        #expect(response.status == 204)
        #expect(response.value("allow") == "GET, HEAD, OPTIONS")
        #expect(try server.request("OPTIONS", "*").value("allow") == "GET, HEAD, POST, OPTIONS")
        #expect(try server.request("OPTIONS", "/c").bodyText == "own")
        #expect(try server.request("OPTIONS", "/none").status == 404)
    }

    @Test func anyTakesEveryOtherMethod() throws {
        var router = Router()
        router.any("/a") { request, response in response.write(request.methodName) }
        router.get("/a") { _, response in response.write("own") }
        let server = try TestServer(router: router)
        #expect(try server.request("PURGE", "/a").bodyText == "PURGE")
        #expect(try server.request("OPTIONS", "/a").bodyText == "OPTIONS")
        #expect(try server.request("GET", "/a").bodyText == "own")
    }

    @Test func groups() throws {
        var router = Router()
        router.group("/api/{version}") { api in
            api.get("/") { request, response in response.write(request.parameter("version")!) }
            api.group("/users") { users in
                users.get("/{id}") { request, response in
                    response.write(request.parameter("version")!)
                    response.write(request.parameter("id")!)
                }
            }
        }
        let server = try TestServer(router: router)
        #expect(try server.get("/api/v1/").bodyText == "v1")
        #expect(try server.get("/api/v1/users/7").bodyText == "v17")
        #expect(try server.get("/api/v1").status == 404)
    }

    @Test func notFoundHandler() throws {
        var router = Router()
        router.notFound { request, response in response.write(request.path) }
        let response = try TestServer(router: router).get("/nowhere")
        #expect(response.status == 404)
        #expect(response.bodyText == "/nowhere")
    }

    @Test func streamedBodies() throws {
        var router = Router()
        router.post("/whole") { request, response in response.write("\(request.isStreaming) \(request.body.count)") }
        router.post("/stream/{id}", streamingBody: true) { request, response in
            response.write("\(request.isStreaming) ")
            response.write(request.parameter("id")!)
            var count = 0
            response.receiveBody { part, response in
                count += part.bytes.count
                if part.isLast { response.write(" \(count)") }
                return .more
            }
        }
        let server = try TestServer(router: router)
        #expect(try server.exchange("POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").bodyText == "false 5")
        #expect(try server.exchange("POST /stream/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").bodyText == "true x 5")
    }

    /// More texts at one place than a short search would forgive.
    @Test func manyRoutes() throws {
        var router = Router()
        for number in 0..<500 {
            router.get("/r\(number)/x") { _, response in response.write("\(number)") }
        }
        let server = try TestServer(router: router)
        let client = try server.client()
        for number in 0..<500 {
            try client.send("GET /r\(number)/x HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().bodyText == "\(number)")
        }
    }

    /// Texts of every length up to beyond two words, which are hashed; next to each lies one that differs in one byte, at either end.
    @Test func manyTextsOfAllLengths() throws {
        var router = Router()
        let texts = (1...40).map { String(repeating: "abcdefg", count: 6).prefix($0) }
        for text in texts { router.get("/x\(text)/y") { _, response in response.write(String(text)) } }
        router.get("/{other}/y") { _, response in response.write("-") }
        let server = try TestServer(router: router)
        let client = try server.client()
        for text in texts {
            for (path, answer) in [("x\(text)", String(text)), ("%78\(text)", String(text)), ("z\(text)", "-"), ("x\(text.dropLast())z", "-"), ("x\(text.dropLast())%7A", "-"), ("x\(text)z", "-")] {
                try client.send("GET /\(path)/y HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try client.readResponse().bodyText == answer, "\(path)")
            }
        }
    }

    @Test func routesAreNamedInReports() throws {
        var router = Router()
        router.get("/users/{id}") { _, _ in throw SomeError() }
        router.get("/named", name: "my name") { _, _ in throw SomeError() }
        router.group("/group") { $0.get("/{id}") { _, _ in throw SomeError() } }
        let server = try TestServer(router: router)
        for target in ["/users/7", "/named", "/group/7"] { #expect(try server.get(target).status == 500) }
        #expect(server.reports.all == ["failed /users/{id}: SomeError()", "failed my name: SomeError()", "failed /group/{id}: SomeError()"])
    }
}
