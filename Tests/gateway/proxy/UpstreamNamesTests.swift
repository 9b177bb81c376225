// Servers that are given by name: addresses that come and go while requests are under way, a resolver that fails, what is counted and told. The resolver answers what the test says, but for one
// test with the system's.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@testable import UringGateway

/// A name service of the test's.
private final class Names: Sendable {
    private let answer: Locked<Result<[RequestPeer], ResolutionFailure>>
    private let count = Locked(0)

    init(_ hosts: UInt32...) { answer = Locked(.success(hosts.map(Self.peer))) }

    static func peer(_ host: UInt32) -> RequestPeer { .ipv4(0x7f00_0000 | host, port: 0) }
    var questions: Int { count.withLock { $0 } }
    func set(_ hosts: UInt32...) { answer.withLock { $0 = .success(hosts.map(Self.peer)) } }
    func fail(_ failure: ResolutionFailure) { answer.withLock { $0 = .failure(failure) } }

    var lookup: NameLookup {
        NameLookup { [self] name in
            count.withLock { $0 += 1 }
            return name == "orders.test" ? answer.withLock { $0 } : .failure(.notFound)
        }
    }
}

@Suite struct UpstreamNamesTests {
    /// The same port on 127.0.0.1 to 127.0.0.3; each answers its number.
    private struct Servers {
        let all: [RecordingServer]
        var port: UInt16 { all[0].port }

        init(_ script: @escaping @Sendable (Int, RecordedRequest) -> [ServerAct] = { number, _ in [.answer(200, "\(number)")] }) throws {
            let first = try RecordingServer { request, _ in script(1, request) }
            all = try [first] + (2...3).map { number in try RecordingServer(port: first.port, address: 0x7f00_0000 | UInt32(number)) { request, _ in script(number, request) } }
        }

        func upstream(_ edit: (inout UpstreamConfiguration) -> Void = { _ in }) -> UpstreamConfiguration {
            var upstream = UpstreamConfiguration(name: "orders", servers: [UpstreamServer(address: .name("orders.test", port: port))])
            (upstream.resolveNs, upstream.resolvesTo, upstream.outlier) = (5_000_000, .ipv4, nil)
            edit(&upstream)
            return upstream
        }
    }

    private func addresses(_ gateway: TestGateway) -> [String] { gateway.snapshot.servers.map { String($0.address.prefix { $0 != ":" }) } }

    private func reaches(_ gateway: TestGateway, _ wanted: [String]) -> Bool { gateway.eventually { addresses($0) == wanted } }

    private func answers(_ gateway: TestGateway, _ count: Int) throws -> [String: Int] {
        try (0..<count).reduce(into: [:]) { counts, _ in counts[try gateway.get().bodyText, default: 0] += 1 }
    }

    @Test func serversComeAndGo() throws {
        let (servers, names) = (try Servers(), Names(1))
        let gateway = try TestGateway(servers.upstream(), lookup: names.lookup)
        #expect(reaches(gateway, ["127.0.0.1"]))
        #expect(gateway.snapshot.servers[0].name == "orders.test:\(servers.port)")
        #expect(try answers(gateway, 4) == ["1": 4])
        #expect(servers.all[0].requests[0].values("host") == ["example.com"])

        // In whichever order they are told.
        names.set(3, 1)
        #expect(reaches(gateway, ["127.0.0.1", "127.0.0.3"]))
        #expect(gateway.eventually { $0.log.contains { $0.contains("orders.test is 127.0.0.1:\(servers.port), 127.0.0.3:\(servers.port) now: 1 new, 0 gone") } }, "\(gateway.log)")
        let changes = gateway.snapshot.addressChanges
        names.set(1, 3)
        let asked = names.questions
        #expect(gateway.eventually { _ in names.questions > asked + 2 })
        #expect(gateway.snapshot.addressChanges == changes)
        #expect(gateway.eventually { (try? answers($0, 2).keys.count) == 2 })
        // Who stays keeps its connection and its counts.
        #expect(servers.all[0].connections == 1)
        #expect(gateway.snapshot.servers[0].requests == UInt64(servers.all[0].requests.count))

        names.set(2)
        #expect(reaches(gateway, ["127.0.0.2"]))
        #expect(gateway.eventually { (try? answers($0, 1)) == ["2": 1] })
        #expect(try answers(gateway, 4) == ["2": 4])
        #expect(gateway.snapshot.servers.map(\.requests) == [UInt64(servers.all[1].requests.count)])
        #expect(gateway.snapshot.addressChanges == changes + 1)
        #expect(gateway.snapshot.lookups >= 4 && gateway.snapshot.failedLookups == 0)
    }

    @Test(arguments: [ResolutionFailure.temporary, .notFound, .failed(code: -4)]) func whenTheResolverFailsAddressesStay(failure: ResolutionFailure) throws {
        let (servers, names) = (try Servers(), Names(2, 1))
        let gateway = try TestGateway(servers.upstream(), lookup: names.lookup)
        #expect(reaches(gateway, ["127.0.0.1", "127.0.0.2"]))
        names.fail(failure)
        #expect(gateway.eventually { $0.snapshot.failedLookups >= 3 })
        #expect(try answers(gateway, 4) == ["1": 2, "2": 2])
        #expect(gateway.log.filter { $0.contains("orders.test cannot be looked up: \(failure); its addresses stay as they were") }.count == 1, "\(gateway.log)")
        names.set(3)
        #expect(reaches(gateway, ["127.0.0.3"]))
        #expect(gateway.eventually { $0.log.filter { $0.contains("orders.test can be looked up again") }.count == 1 })
        #expect(gateway.eventually { (try? answers($0, 1)) == ["3": 1] })

        // A reload begins with what is known, whatever the resolver says.
        names.fail(failure)
        var changed = TestGateway.configuration([servers.upstream { $0.timeouts.responseNs = 7_000_000_000 }])
        changed.listeners[0].address = .ipv4([127, 0, 0, 1], port: try #require(gateway.endpoint.port))
        _ = try gateway.gateway.reload(changed)
        #expect(addresses(gateway) == ["127.0.0.3"])
        #expect(try answers(gateway, 2) == ["3": 2])
    }

    /// With an interval of 0 names are asked for until there is an answer.
    @Test func onceIsUntilTheFirstAnswer() throws {
        let (servers, names) = (try Servers(), Names(1))
        let gateway = try TestGateway(servers.upstream { $0.resolveNs = 0 }, lookup: names.lookup)
        #expect(reaches(gateway, ["127.0.0.1"]))
        names.set(2)
        #expect(try answers(gateway, 3) == ["1": 3])
        #expect(names.questions == 1)
    }

    @Test func whoIsNewBeginsSlowly() throws {
        let (servers, names) = (try Servers(), Names(1))
        let gateway = try TestGateway(servers.upstream { $0.slowStartNs = 3600_000_000_000 }, lookup: names.lookup)
        #expect(reaches(gateway, ["127.0.0.1"]))
        _ = try gateway.get()
        names.set(1, 2)
        #expect(reaches(gateway, ["127.0.0.1", "127.0.0.2"]))
        #expect(gateway.eventually { _ in (try? gateway.get().bodyText) == "2" })
        // A tenth of the weight.
        #expect(try answers(gateway, 22)["2"] == 2)
    }

    /// Requests to a server that is gone have `drain` to finish; their further attempts go to those that are there now.
    @Test func requestsUnderWay() throws {
        let isOver = Locked(false)
        let servers = try Servers { number, request in
            if number == 1, request.line.contains("/hung") { return [.hang] }
            let isSlow = request.line.contains("/slow")
            guard number == 1, isSlow || request.line.contains("/retried") else { return [.answer(200, "\(number)")] }
            while !isOver.withLock({ $0 }) { usleep(1000) }
            return isSlow ? [.answer(200, "slow")] : [.reset]
        }
        let names = Names(1)
        let gateway = try TestGateway(
            servers.upstream { $0.drainNs = 1_500_000_000 }, { ($0.retry.attempts, $0.retry.reasons) = (2, [.reset]) }, lookup: names.lookup)
        #expect(reaches(gateway, ["127.0.0.1"]))
        let clients = try ["/slow", "/retried", "/hung"].map { path in
            let client = try RawClient(gateway.endpoint)
            try client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            return client
        }
        #expect(gateway.eventually { _ in servers.all[0].requests.count == 3 })
        names.set(2)
        #expect(reaches(gateway, ["127.0.0.2"]))
        #expect(gateway.eventually { (try? answers($0, 1)) == ["2": 1] })
        isOver.withLock { $0 = true }
        #expect(try clients[1].readFinalResponse().bodyText == "2")
        #expect(try clients[0].readFinalResponse().bodyText == "slow")
        #expect(try clients[2].readFinalResponse().status == 503)
        #expect(gateway.log.contains { $0.contains("orders: 1 requests to servers that were removed took longer than drain") }, "\(gateway.log)")
        #expect(gateway.eventually { $0.snapshot.servers[0].active == 0 })
        #expect(try answers(gateway, 3) == ["2": 3])
    }

    @Test func checksFollow() throws {
        let servers = try Servers { number, request in [.answer(request.line.contains("healthz") && number == 2 ? 503 : 200, "\(number)")] }
        let names = Names(1)
        let health = HealthConfiguration(
            path: "/healthz", method: "GET", host: nil, intervalNs: 5_000_000, timeoutNs: 2_000_000_000, unhealthyAfter: 2, healthyAfter: 2,
            status: [StatusRange(first: 200, last: 299)], port: nil)
        let gateway = try TestGateway(servers.upstream { $0.health = health }, lookup: names.lookup)
        #expect(gateway.eventually { $0.snapshot.servers[0].checks > 2 })
        // The name, as for requests whose Host is the server's.
        #expect(gateway.eventually { _ in servers.all[0].requests.last?.values("host") == ["orders.test:\(servers.port)"] })
        names.set(2, 3)
        #expect(gateway.eventually { $0.snapshot.servers.map(\.isHealthy) == [false, true] })
        #expect(gateway.eventually { $0.log.contains { $0.contains("upstream orders (orders.test:\(servers.port) at 127.0.0.2:\(servers.port)) is unhealthy") } }, "\(gateway.log)")
        #expect(try answers(gateway, 3) == ["3": 3])
        let checks = servers.all[0].requests.count
        let others = servers.all[2].requests.count
        #expect(gateway.eventually { _ in servers.all[2].requests.count > others + 4 })
        #expect(servers.all[0].requests.count <= checks + 1)
    }

    /// Hashed keys go by address: those of servers that stay do not move.
    @Test func keysStayWithTheirServers() throws {
        let (servers, names) = (try Servers(), Names(1, 2))
        let gateway = try TestGateway(servers.upstream { $0.balance = .hash(.header("x-key")) }, lookup: names.lookup)
        #expect(reaches(gateway, ["127.0.0.1", "127.0.0.2"]))
        func owners() throws -> [String] { try (0..<60).map { try gateway.get("/", "X-Key: \($0)").bodyText } }
        let before = try owners()
        #expect(Set(before) == ["1", "2"])
        names.set(3, 2, 1)
        #expect(reaches(gateway, ["127.0.0.1", "127.0.0.2", "127.0.0.3"]))
        #expect(gateway.eventually { _ in (try? owners().contains("3")) == true })
        #expect(zip(before, try owners()).allSatisfy { $0 == $1 || $1 == "3" })
    }

    @Test func theSystemsResolver() throws {
        let servers = try Servers()
        let gateway = try TestGateway(servers.upstream { $0.servers[0].address = .name("localhost", port: servers.port) })
        #expect(reaches(gateway, ["127.0.0.1"]))
        #expect(try answers(gateway, 2) == ["1": 2])
    }

    // MARK: which addresses

    @Test func addressesThatAreServers() {
        let (v4, w4) = (RequestPeer.ipv4(0xc000_0202, port: 0), RequestPeer.ipv4(0xc000_0201, port: 0))
        let v6 = RequestPeer.ipv6(high: 0x2001_0db8_0000_0000, low: 1, port: 0)
        func servers(_ found: [RequestPeer], _ wanted: ResolvedAddresses) -> [String]? { UpstreamNames.servers(found, wanted, port: 80)?.map(\.description) }
        #expect(servers([v4, v6, w4], .all) == ["192.0.2.1:80", "192.0.2.2:80"])
        #expect(servers([v6, v4, w4], .all) == ["[2001:db8::1]:80"])
        #expect(servers([v6, v4, w4], .both) == ["192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"])
        #expect(servers([v6, v4, w4], .ipv4) == ["192.0.2.1:80", "192.0.2.2:80"])
        #expect(servers([v6, v4, w4], .ipv6) == ["[2001:db8::1]:80"])
        #expect(servers([v4, v6, w4], .first) == ["192.0.2.2:80"])
        // This machine is one server, and so is what has no address of the family.
        #expect(servers([.ipv6(high: 0, low: 1, port: 0), .ipv4(0x7f00_0001, port: 0)], .all) == nil)
        #expect(servers([v4], .ipv6) == nil)
        for wanted in [ResolvedAddresses.all, .both, .ipv4, .ipv6, .first] { #expect(servers([], wanted) == nil) }
    }

    @Test func addressesAreBounded() throws {
        let many = (1...70).map { RequestPeer.ipv4(0x7f00_0100 | UInt32($0), port: 0) }
        let servers = try Servers()
        let gateway = try TestGateway(servers.upstream(), lookup: NameLookup { _ in .success(many.reversed()) })
        #expect(gateway.eventually { $0.snapshot.servers.count == Upstream.addressesPerNameMax })
        #expect(gateway.snapshot.servers.map(\.address).first == "127.0.1.1:\(servers.port)")
        #expect(gateway.log.filter { $0.contains("orders.test has 70 addresses, of which 64 are used") }.count == 1, "\(gateway.log)")
        // Names without number share what an upstream may have.
        let crowd = (0..<1000).map { UpstreamServer(address: .name("n\($0)", port: 1)) }
        #expect(UpstreamServers.addressesMax(UpstreamConfiguration(name: "x", servers: crowd)) == 4)
    }
}
