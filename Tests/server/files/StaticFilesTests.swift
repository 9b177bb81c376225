// What StaticFiles refuses when it is made. What it answers is tested over the wire (Tests/Conformance/UringdFilesTests.swift).

import Testing
import UringHTTP
@testable import UringServer

@Suite struct StaticFilesTests {
    private func make(_ root: String = "/", _ change: (inout StaticFilesOptions) -> Void = { _ in }) throws -> StaticFiles {
        var options = StaticFilesOptions()
        change(&options)
        return try StaticFiles(root: root, options: options)
    }

    @Test func rootMustBeADirectory() {
        #expect(throws: Never.self) { try make("/") }
        #expect(throws: ServerError.self) { try make("/does/not/exist") }
        #expect(throws: ServerError.self) { try make("/etc/passwd") }
    }

    @Test func optionsWithoutMeaningAreRefused() {
        #expect(throws: Never.self) { try make { $0.prefix = "/static" } }
        for prefix in ["static", "/static/", "/"] { #expect(throws: ServerError.self) { try make { $0.prefix = prefix } } }
        for name in ["", ".", "..", "a/b", "a\0b"] { #expect(throws: ServerError.self) { try make { $0.index = [name] } } }
        #expect(throws: ServerError.self) { try make { $0.cacheControl = "a\r\nb: c" } }
    }

    @Test func routeNamesAreRegisteredOnce() {
        let first = RouteName(registering: "a route")
        let second = RouteName(registering: "a route")
        #expect(first.description == "a route" && second.description == "a route")
        // The same bytes, not a second copy.
        let isShared = first.bytes.isIdentical(to: second.bytes)
        #expect(isShared)
        #expect(RouteName("literal").description == "literal" && RouteName(registering: "").count == 0)
    }

    @Test func preparedResponsesAreChecked() {
        #expect(throws: Never.self) { try PreparedResponse(headers: [("x-a", "1")], body: [1]) }
        #expect(throws: ServerError.self) { try PreparedResponse(headers: [("x a", "1")]) }
        #expect(throws: ServerError.self) { try PreparedResponse(headers: [("", "1")]) }
        #expect(throws: ServerError.self) { try PreparedResponse(headers: [("x", "1\r\ny: 2")]) }
        #expect(throws: ServerError.self) { try PreparedResponse(status: HTTPStatus(101)) }
    }
}
