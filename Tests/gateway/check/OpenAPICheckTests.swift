// Routes against OpenAPI documents.

import Testing

@testable import UringGateway

@Suite struct OpenAPICheckTests {
    private let configuration = """
        listen: [{ address: 127.0.0.1:8080 }]
        routes:
          - { name: me, match: { path: /v1/users/me }, respond: {} }
          - { name: wide, match: { host: api.example.com, path: /v1/orders/*, methods: [GET] }, respond: {} }
          - { name: order, match: { path: "/v1/orders/{id}", methods: [GET, DELETE] }, respond: {} }
          - { name: user, match: { path: "/v1/users/{name}", methods: [GET, PUT] }, respond: {} }
          - { name: health, match: { path: /healthz }, respond: {} }
        """

    private func check(_ document: String) -> [String] {
        let result = OpenAPICheck.check(load(configuration), ConfigSource(name: "api.yaml", bytes: Array(document.utf8)))
        return result.render().split(separator: "\n").map(String.init)
    }

    @Test func operationsAndRoutes() {
        #expect(
            check(
                """
                openapi: 3.1.0
                servers: [{ url: "https://api.example.com/v1/" }, { url: "https://staging.example.com/{stage}", variables: { stage: { default: v0 } } }]
                paths:
                  /orders/{orderId}:
                    summary: x
                    get: {}
                    delete: {}
                    patch: {}
                  /users/{id}: { $ref: "#/components/pathItems/User" }
                  /usrs/{name}:
                    get: {}
                  /healthz:
                    servers: [{ url: / }]
                    get: {}
                components:
                  pathItems:
                    User: { get: {}, put: {} }
                """) == [
                    "test.yaml:3:13: note: routes: the OpenAPI document has no operation for `me`",
                    "api.yaml:6:5: GET /v1/orders/{orderId}: the earlier route `wide` takes it, not `order`, which has exactly this path",
                    "api.yaml:8:5: PATCH /v1/orders/{orderId}: the path is taken by `wide` or `order`, but only for GET, HEAD or DELETE",
                    "api.yaml:11:5: GET /v1/usrs/{name}: no route takes it; `user` takes /v1/users/{name}",
                ])
    }

    @Test func jsonAndRelativeServers() {
        let document = #"{"openapi":"3.0.3","servers":[{"url":"/v1"}],"paths":{"/users/{a}":{"get":{},"post":{}},"/orders/{b}":{"delete":{}}}}"#
        #expect(
            check(document) == [
                "test.yaml:3:13: note: routes: the OpenAPI document has no operation for `me`",
                "test.yaml:4:13: note: routes: the OpenAPI document has no operation for `wide`",
                "test.yaml:7:13: note: routes: the OpenAPI document has no operation for `health`",
                "api.yaml:1:78: POST /v1/users/{a}: the path is taken by `user`, but only for GET, HEAD or PUT",
            ])
    }

    @Test func documentsThatAreNone() {
        #expect(check("swagger: \"2.0\"") == ["api.yaml:1:1: this is no OpenAPI document of version 3: `openapi: 3.1.0` is expected"])
        #expect(check("openapi: 3.1.0\npaths: 3") == ["api.yaml:2:8: paths: found `3`, accepted: a mapping"])
        #expect(check("a: [").first?.hasPrefix("api.yaml:2:1: YAML syntax") == true)
        #expect(check("openapi: 3.1.0\npaths: { /healthz: { $ref: other.yaml } }").last == "api.yaml:2:20: warning: `other.yaml` is not in this document: its operations are not compared")
        let result = OpenAPICheck.check(load(configuration), openAPI: "/nonexistent/api.yaml")
        #expect(result.configuration == nil)
        #expect(result.render() == "/nonexistent/api.yaml:1:1: cannot open the OpenAPI document: No such file or directory\n")
    }

    @Test func aBadConfigurationIsNotCompared() {
        let result = OpenAPICheck.check(load("routes: []"), ConfigSource(name: "api.yaml", bytes: Array("openapi: 3.1.0\npaths: { /x: { get: {} } }".utf8)))
        #expect(result.configuration == nil && result.diagnostics.count == 1)
    }
}
