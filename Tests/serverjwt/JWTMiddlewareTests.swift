// Middleware.jwt over sockets, HTTP/1.1 and HTTP/2.

import TestSupport
import Testing
import UringHTTP
import UringServer
import UringServerJWT

@Suite struct JWTMiddlewareTests {
    private static func options(_ change: (inout JWTOptions) -> Void = { _ in }) -> JWTOptions {
        var options = JWTOptions(audience: .oneOf(["orders"]))
        options.issuers = ["https://issuer.example"]
        options.scopes = ["read"]
        options.realm = "shop"
        change(&options)
        return options
    }

    private static func start(_ keys: JWTKeys, _ options: JWTOptions) throws -> (RunningServer, Endpoint) {
        var router = Router()
        router.use(try .jwt(keys, options))
        router.get("/") { _, response in
            guard let claims = response.claims else { return response.write("nobody") }
            if let subject = claims.subject { response.write(subject) }
            if claims["roles"]?.contains("admin") == true { response.write(" admin") }
            response.write(" \(claims["age"]?.integer ?? 0) \(claims["active"]?.bool ?? false) \(claims["none"]?.isNull ?? false) \(claims["realm"]?["level"]?.integer ?? 0)")
            response.write(" \(claims.hasScope("write")) \(claims.hasScope("rea")) \(claims.expires ?? 0)")
            if let text = claims["pad"]?.string { response.write(" \(text.count)") }
        }
        router.post("/body", streamingBody: true) { _, response in
            response.receiveBody { part, response in
                if part.isLast, let subject = response.claims?.subject { response.write(subject) }
                return .more
            }
        }
        var server = ServerOptions()
        server.loops = .count(1)
        server.deferAccept = false
        let running = try Server(listen: ["127.0.0.1:0"], options: server, router: router).start()
        return (running, try #require(Endpoint(line: "listening on http://\(running.addresses[0])")))
    }

    private static func ask(_ endpoint: Endpoint, _ fields: String) throws -> RawResponse {
        let client = try RawClient(endpoint)
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
        return try client.readResponse()
    }

    @Test func acceptsAndShowsClaims() throws {
        let (running, endpoint) = try Self.start(try .secret(Tokens.secret), Self.options())
        defer { running.stop(within: .seconds(20)) }
        let text = "user-7 admin 41 true true 3 true false 4102444800"
        #expect(try Self.ask(endpoint, "Authorization: Bearer \(Tokens.good)\r\n").bodyText == text)
        #expect(try Self.ask(endpoint, "Authorization: bEARER  \(Tokens.good)\r\n").bodyText == text)
        // Larger than the response's first block for values.
        #expect(try Self.ask(endpoint, "Authorization: Bearer \(Tokens.large)\r\n").bodyText == text + " 5000")
        // Claims go with the response to a receiver, whatever other requests come meanwhile.
        let slow = try RawClient(endpoint)
        try slow.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nAuthorization: Bearer \(Tokens.good)\r\n\r\n")
        #expect(try Self.ask(endpoint, "Authorization: Bearer \(Tokens.large)\r\n").status == 200)
        try slow.send("x")
        #expect(try slow.readResponse().bodyText == "user-7")
        let client = try FrameClient(endpoint)
        #expect(try client.ask(1, "GET", "/", [("authorization", "Bearer \(Tokens.good)")]).bodyText == text)
        #expect(try client.ask(3, "GET", "/", [("authorization", "Bearer \(Tokens.forged)")]).status == 401)
        #expect(try client.ask(5, "GET", "/").status == 401)
    }

    @Test func refuses() throws {
        let (running, endpoint) = try Self.start(try .secret(Tokens.secret), Self.options())
        defer { running.stop(within: .seconds(20)) }
        let refusals = [
            (Tokens.expired, "the token has expired"), (Tokens.audience, "the token is for another audience"), (Tokens.issuer, "the issuer is not accepted"),
            (Tokens.forged, "the signature is not good"), (Tokens.noExpiry, "a claim is missing"), (Tokens.none, "the algorithm is not allowed"), ("abc", "the token is malformed"),
            (Tokens.es256, "the algorithm is not allowed"), (String(repeating: "a", count: 9000), "the token is too long"), (String(Tokens.good.dropLast()), "the signature is not good"),
        ]
        for (token, reason) in refusals {
            let response = try Self.ask(endpoint, "Authorization: Bearer \(token)\r\n")
            #expect(response.status == 401)
            if token != refusals[9].0 {
                #expect(response.values("www-authenticate") == ["Bearer realm=\"shop\", error=\"invalid_token\", error_description=\"\(reason)\""])
                #expect(response.bodyText == #"{"title":"Unauthorized","status":401,"detail":"\#(reason)"}"#)
            }
            #expect(response.values("content-type") == ["application/problem+json"])
        }
        let scope = try Self.ask(endpoint, "Authorization: Bearer \(Tokens.unscoped)\r\n")
        #expect(scope.status == 403)
        #expect(scope.value("www-authenticate")?.contains("insufficient_scope") == true)
        for fields in ["", "Authorization: Basic YTpi\r\n"] {
            let response = try Self.ask(endpoint, fields)
            #expect(response.status == 401)
            #expect(response.values("www-authenticate") == ["Bearer realm=\"shop\""])
        }
        #expect(try Self.ask(endpoint, "Authorization: Bearer \(Tokens.good)\r\nAuthorization: Bearer \(Tokens.good)\r\n").status == 401)
        #expect(try Self.ask(endpoint, "Authorization: Bearer \(String(repeating: "a", count: 1 << 20))\r\n").status == 431)
    }

    @Test func keysOfAllKinds() throws {
        var keys = try JWTKeys.jwks(Array(Tokens.jwks.utf8))
        try keys.add(.secret(Tokens.secret))
        for keys in [keys, try .pem(Array(Tokens.pem.utf8))] {
            let (running, endpoint) = try Self.start(keys, Self.options { $0.algorithms = [.es256] })
            defer { running.stop(within: .seconds(20)) }
            #expect(try Self.ask(endpoint, "Authorization: Bearer \(Tokens.es256)\r\n").status == 200)
            #expect(try Self.ask(endpoint, "Authorization: Bearer \(Tokens.good)\r\n").status == 401)
        }
    }

    @Test func optional() throws {
        let (running, endpoint) = try Self.start(try .secret(Tokens.secret), Self.options { $0.isOptional = true })
        defer { running.stop(within: .seconds(20)) }
        #expect(try Self.ask(endpoint, "").bodyText == "nobody")
        #expect(try Self.ask(endpoint, "Authorization: Bearer \(Tokens.good)\r\n").bodyText.hasPrefix("user-7"))
        #expect(try Self.ask(endpoint, "Authorization: Bearer \(Tokens.forged)\r\n").status == 401)
    }

    @Test func mistakes() throws {
        #expect(throws: JWTConfigurationError.self) { try JWTKeys.pem(Array("nothing".utf8)) }
        #expect(throws: JWTConfigurationError.self) { try JWTKeys.secret(Array("short".utf8)) }
        #expect(throws: JWTConfigurationError.self) { try JWTKeys.jwks(Array("{}".utf8)) }
        let keys = try JWTKeys.secret(Tokens.secret)
        #expect(throws: JWTConfigurationError.self) { try Middleware.jwt(keys, Self.options { $0.algorithms = [.rs256] }) }
        #expect(throws: JWTConfigurationError.self) { try Middleware.jwt(keys, Self.options { $0.realm = "a\"b" }) }
    }
}
