// Which handler, which route: the library's router and the gateway's table, with few and with many routes.

import UringGateway
import UringHTTP
import UringServer

/// An API of so many routes, a third of each kind: fixed, with a parameter, with two.
private func patterns(_ count: Int) -> [String] {
    (0..<count).map { number in
        switch number % 3 {
        case 0: "/v1/resource\(number)"
        case 1: "/v1/resource\(number - 1)/{id}"
        default: "/v1/resource\(number - 2)/{id}/items/{item}"
        }
    }
}

/// Requests for routes drawn at random, as one run of bytes with the places of each.
private struct Paths {
    let memory: UnsafeMutableBufferPointer<UInt8>
    let places: [(offset: Int, count: Int)]

    init(_ routes: Int, seed: UInt64) {
        var random = FixedRandom(seed)
        let all = patterns(routes)
        let paths = (0..<1024).map { _ in
            all[Int(random.next() % UInt64(routes))].split(separator: "/").map { $0 == "{id}" ? "f47ac10b" : $0 == "{item}" ? "42" : String($0) }.reduce("") { $0 + "/" + $1 }
        }
        memory = bytes(paths.flatMap { Array($0.utf8) })
        var at = 0
        places = paths.map { path in
            defer { at += path.utf8.count }
            return (at, path.utf8.count)
        }
    }
}

func routingBenchmarks() -> [Benchmark] {
    [10, 1000, 10_000].map(router) + [10, 1000, 10_000].map(table)
}

private func router(_ routes: Int) -> Benchmark {
    var builder = RouteTrieBuilder()
    for (index, pattern) in patterns(routes).enumerated() { builder.add(.get, pattern, endpoint: index, at: RouteOrigin(file: #fileID, line: #line)) }
    precondition(builder.problems.isEmpty, builder.problems.joined(separator: "\n"))
    let trie = builder.build()
    let paths = Paths(routes, seed: 3)
    let captures = place(PathCaptures())
    return Benchmark(name: "router.\(routes)", checks: 1024) { count in
        var sum: UInt64 = 0
        for index in 0..<count {
            let (offset, length) = paths.places[index & 1023]
            guard case .endpoint(let endpoint) = trie.match(.get, UnsafePointer(paths.memory.baseAddress!), offset: offset, count: length, captures) else { fatalError("a route is missed") }
            sum &+= UInt64(endpoint)
        }
        return sum
    }
}

private func table(_ routes: Int) -> Benchmark {
    let rules = patterns(routes).map { pattern in
        guard case .success(let path) = PathPattern.parse(pattern) else { fatalError("BUG: \(pattern)") }
        return RouteMatchRule(paths: [path], methods: MethodSet(["GET"]))
    }
    let table = RouteTable(rules)
    let paths = Paths(routes, seed: 3)
    let method = UnsafeRawBufferPointer(bytes("GET".utf8))
    let host = UnsafeRawBufferPointer(bytes("api.example.com".utf8))
    return Benchmark(name: "gateway-routes.\(routes)", checks: 1024) { count in
        var sum: UInt64 = 0
        for index in 0..<count {
            let (offset, length) = paths.places[index & 1023]
            let path = UnsafeRawBufferPointer(start: paths.memory.baseAddress! + offset, count: length)
            guard case .route(let route) = table.match(method: method, host: host, path: path, isSecure: true) else { fatalError("a route is missed") }
            sum &+= UInt64(route)
        }
        return sum
    }
}

// MARK: JSON

func jsonBenchmarks() -> [Benchmark] {
    let buffer = UnsafeMutablePointer<GrowingBytes>.allocate(capacity: 1)
    buffer.initialize(to: GrowingBytes(capacity: 4096))
    let subject = "user-7"
    let text = "A customer said \"it works\",\nand went on with a sentence that is long enough to be searched through: \u{e9}\u{4e16}."
    return [
        jsonBenchmark("json.small", buffer) { json, _ in
            json["status"] = "ok"
            json["subject"] = subject
        },
        jsonBenchmark("json.order", buffer) { json, number in
            json["id"] = 1_000_000 + number & 0xfff
            json["note"] = text
            json["total"] = 129.95
            json["paid"] = true
            json.array("items") { items in
                for item in 0..<5 {
                    items.object { entry in
                        entry["sku"] = "AB-12345-X"
                        entry["quantity"] = item
                        entry["price"] = 25.99
                    }
                }
            }
        },
    ]
}

@inline(__always)
private func jsonBenchmark(_ name: String, _ buffer: UnsafeMutablePointer<GrowingBytes>, _ write: @escaping (inout JSONObject, Int) -> Void) -> Benchmark {
    func once(_ number: Int) {
        buffer.pointee.count = 0
        JSONObject.write(to: buffer) { write(&$0, number) }
    }
    once(0)
    return Benchmark(name: name, size: buffer.pointee.count) { count in
        for number in 0..<count { once(number) }
        return sum(buffer)
    }
}

private func sum(_ buffer: UnsafeMutablePointer<GrowingBytes>) -> UInt64 {
    (0..<buffer.pointee.count).reduce(UInt64(14_695_981_039_346_656_037)) { unsafe ($0 ^ UInt64(buffer.pointee.base[$1])) &* 1_099_511_628_211 }
}
