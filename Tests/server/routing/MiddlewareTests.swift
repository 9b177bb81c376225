// Order and effect of middleware, errors with a status, and the ready-made middleware.

import TestSupport
import Testing
import UringHTTP
import UringServer

@Suite struct MiddlewareTests {
    private func note(_ name: String) -> Middleware {
        Middleware { request, response, next in
            response.write("\(name)(")
            try next(request, &response)
            response.write(")\(name)")
        }
    }

    @Test func nests() throws {
        var router = Router()
        router.get("/") { _, response in response.write("handler") }
        router.group("/g") { group in
            group.get("/") { _, response in response.write("inner") }
            group.use(note("c"))
        }
        router.use(note("a"))
        router.use { request, response, next in
            response.write("b(")
            try next(request, &response)
            response.write(")b")
        }
        let server = try TestServer(router: router)
        #expect(try server.get("/").bodyText == "a(b(handler)b)a")
        #expect(try server.get("/g/").bodyText == "a(b(c(inner)c)b)a")
        let missing = try server.get("/none")
        #expect(missing.status == 404)
        #expect(missing.bodyText == "a(b()b)a")
    }

    @Test func answersInstead() throws {
        var router = Router()
        router.get("/") { _, response in response.write("secret") }
        router.use { request, response, next in
            guard request.headers["authorization"] == "yes" else {
                throw HTTPError(.unauthorized, "say yes", headers: [("www-authenticate", "Word")])
            }
            try next(request, &response)
        }
        let server = try TestServer(router: router)
        let refused = try server.get("/")
        #expect(refused.status == 401)
        #expect(refused.value("www-authenticate") == "Word")
        #expect(refused.bodyText == "say yes\n")
        #expect(try server.get("/none").status == 401)
        #expect(try server.get("/", "Authorization: yes").bodyText == "secret")
        #expect(server.reports.all.isEmpty)
    }

    struct Teapot: ResponseError {
        var status: HTTPStatus { HTTPStatus(418) }
    }

    @Test func thrownErrors() throws {
        let server = try TestServer { request, response in
            response.headers["x-before"] = "gone"
            response.write("gone")
            switch request.path {
            case "/plain": throw HTTPError(.notFound)
            case "/text": throw HTTPError(.conflict, "busy")
            case "/own": throw Teapot()
            case "/success": throw HTTPError(.ok, "not one")
            case "/server": throw HTTPError(.serviceUnavailable, "later", headers: [("Retry-After", "5")])
            case "/split": throw HTTPError(.badRequest, "x", headers: [("X-Bad", "a\r\nSet-Cookie: b")])
            default: throw SomeError()
            }
        }
        let plain = try server.get("/plain")
        #expect(plain.status == 404)
        #expect(plain.body.isEmpty)
        #expect(plain.value("x-before") == nil)
        #expect(try server.get("/text").bodyText == "busy\n")
        #expect(try server.get("/own").status == 418)
        #expect(try server.get("/success").status == 500)
        #expect(try server.get("/server").value("retry-after") == "5")
        #expect(try server.get("/split").status == 500)
        let other = try server.get("/else")
        #expect(other.status == 500)
        #expect(other.body.isEmpty)
        #expect(server.reports.all == [
            "failed /success: 200 OK: not one", "failed /server: 503 Service Unavailable: later", "refused /split", "failed /else: SomeError()",
        ])
    }

    @Test func problemDetails() throws {
        var router = Router()
        router.use(.problemDetails)
        router.get("/text") { _, _ in throw HTTPError(.conflict, "the \"order\" is taken") }
        router.get("/status") { _, response in response.status = .forbidden }
        router.get("/own") { _, response in
            response.status = .badRequest
            response.write("own words")
        }
        router.get("/unknown") { _, response in
            response.write("half")
            throw SomeError()
        }
        let server = try TestServer(router: router)
        let text = try server.get("/text")
        #expect(text.status == 409)
        #expect(text.values("content-type") == ["application/problem+json"])
        #expect(text.bodyText == #"{"title":"Conflict","status":409,"detail":"the \"order\" is taken"}"#)
        #expect(try server.get("/status").bodyText == #"{"title":"Forbidden","status":403}"#)
        #expect(try server.get("/own").bodyText == "own words")
        #expect(try server.get("/unknown").bodyText == #"{"title":"Internal Server Error","status":500}"#)
        #expect(try server.get("/none").bodyText == #"{"title":"Not Found","status":404}"#)
        let method = try server.request("DELETE", "/own")
        #expect(method.bodyText == #"{"title":"Method Not Allowed","status":405}"#)
        #expect(method.value("allow") == "GET, HEAD, OPTIONS")
        #expect(server.reports.all == ["failed /unknown: SomeError()"])
    }

    @Test func latency() throws {
        var router = Router()
        router.use(.latency)
        router.get("/") { _, response in response.write("x") }
        router.get("/throws") { _, _ in throw HTTPError(.conflict) }
        router.get("/stream") { _, response in response.stream { _ in .end } }
        let server = try TestServer(router: router)
        for target in ["/", "/none", "/throws", "/stream"] {
            let value = try #require(try server.get(target).value("X-Latency-ns"))
            let nanoseconds = try #require(UInt64(value))
            #expect(nanoseconds > 0 && nanoseconds < 60_000_000_000)
        }
    }

    @Test func requestID() throws {
        var router = Router()
        router.use(.requestID)
        router.get("/") { _, response in response.write(response.headers["x-request-id"] ?? "none") }
        router.get("/restart") { _, response in response.redirect(to: "/") }
        router.get("/throw") { _, _ in throw HTTPError(.gone) }
        let server = try TestServer(router: router)
        let client = try server.client()
        var seen: Set<String> = []
        for target in ["/", "/", "/restart", "/throw", "/none"] {
            try client.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
            let response = try client.readResponse()
            let values = response.values("x-request-id")
            try #require(values.count == 1)
            #expect(values[0].count == 32 && values[0].allSatisfy(\.isHexDigit))
            #expect(seen.insert(values[0]).inserted)
            if target == "/" { #expect(response.bodyText == values[0]) }
        }
        let given = try server.get("/", "X-Request-Id: from-client.1")
        #expect(given.values("x-request-id") == ["from-client.1"])
        #expect(try server.get("/", "X-Request-Id: two words").value("x-request-id")?.count == 32)
        #expect(try server.get("/", "X-Request-Id: \(String(repeating: "a", count: 128))").value("x-request-id")?.count == 128)
        #expect(try server.get("/", "X-Request-Id: \(String(repeating: "a", count: 129))").value("x-request-id")?.count == 32)
    }
}
