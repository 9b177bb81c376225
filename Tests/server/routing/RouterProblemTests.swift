// What a router refuses, and with which words.

import Testing
import UringHTTP
import UringServer

@Suite struct RouterProblemTests {
    private func problems(_ build: (inout Router) -> Void) -> [String] {
        var router = Router()
        build(&router)
        do throws(RouterError) {
            _ = try Application(router: router)
            return []
        } catch {
            return error.problems.map { String($0.drop { $0 != " " }.dropFirst()) }
        }
    }

    @Test(arguments: [
        ("users", "users: a pattern begins with a slash"),
        ("", ": a pattern begins with a slash"),
        ("/a{b}", "/a{b}: a parameter takes a whole segment: a{b}"),
        ("/{b}c", "/{b}c: a parameter takes a whole segment: {b}c"),
        ("/{}", "/{}: {} is not a name: letters, digits, - and _ make one"),
        ("/{a b}", "/{a b}: {a b} is not a name: letters, digits, - and _ make one"),
        ("/{a}/{a}", "/{a}/{a}: the parameter {a} occurs twice"),
        ("/*/a", "/*/a: a wildcard stands at the end of a pattern"),
        ("/{a*}/b", "/{a*}/b: a wildcard stands at the end of a pattern"),
        ("/a*", "/a*: a wildcard takes a whole segment: a*"),
        ("/a?b", "/a?b: a pattern has no query or fragment"),
        ("/a\tb", "/a\tb: a pattern has no control characters"),
        ("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}: a pattern has at most 8 parameters"),
    ])
    func malformed(pattern: String, problem: String) {
        #expect(problems { $0.get(pattern) { _, _ in } } == [problem])
    }

    @Test func segmentLimit() throws {
        let longest = String(repeating: "/a", count: 64)
        #expect(problems { $0.get(longest) { _, _ in } } == [])
        #expect(problems { $0.get(longest + "/a") { _, _ in } } == ["\(longest)/a: a pattern has at most 64 segments"])
        #expect(problems { $0.get("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}") { _, _ in } } == [])
    }

    @Test func twice() {
        let found = problems { router in
            router.get("/a", line: 1) { _, _ in }
            router.get("/%61", line: 2) { _, _ in }
            router.any("/a", line: 3) { _, _ in }
            router.any("/a", line: 4) { _, _ in }
            router.get("/{x}", line: 5) { _, _ in }
            router.group("/{x}") { $0.get("/", line: 6) { _, _ in } }
        }
        #expect(found == [
            "GET /%61 has a handler already, from RouterProblemTests.swift:1", "any method /a has a handler already, from RouterProblemTests.swift:3",
        ])
    }

    @Test func differentNamesAtOnePlace() {
        let found = problems { router in
            router.get("/users/{id}", line: 1) { _, _ in }
            router.get("/users/{name}/posts", line: 2) { _, _ in }
            router.get("/files/*", line: 3) { _, _ in }
            router.post("/files/{rest*}", line: 4) { _, _ in }
        }
        #expect(found == [
            "/users/{name}/posts: the parameter {name} is called {id} at RouterProblemTests.swift:1",
            "/files/{rest*}: the wildcard {rest*} is called * at RouterProblemTests.swift:3",
        ])
    }

    @Test func groups() {
        let found = problems { router in
            router.group("/api/", line: 1) { $0.get("/a", line: 2) { _, _ in } }
            router.group("/b") { group in
                group.get("c", line: 3) { _, _ in }
                group.notFound(line: 4) { _, _ in }
            }
        }
        #expect(found == [
            "the prefix /api/ ends with a slash; its routes begin with one", "notFound belongs to the router, not to a group",
            "c: a pattern begins with a slash",
        ])
    }

    @Test func placesAreNamed() throws {
        var router = Router()
        router.get("nowhere") { _, _ in }
        let line = #line - 1
        #expect(throws: RouterError.self) { try Server(listen: ["127.0.0.1:0"], router: router) }
        do {
            _ = try Application(router: router)
        } catch {
            #expect(error.description == "RouterProblemTests.swift:\(line): nowhere: a pattern begins with a slash")
        }
    }
}
