// Which server gets a request, through real servers.

import Glibc
import TestSupport
import Testing
import UringPolicy
import UringServer

@testable import UringGateway

@Suite struct UpstreamBalanceTests {
    private func servers(_ count: Int) throws -> [RecordingServer] { try (0..<count).map { number in try RecordingServer { _, _ in [.answer(200, "\(number)")] } } }

    @Test(arguments: [
        (BalanceConfiguration.Key.header("x-user"), "X-User: "), (.cookie("session"), "Cookie: a=b; session="),
    ])
    func sameKeySameServer(key: BalanceConfiguration.Key, prefix: String) throws {
        let servers = try servers(4)
        var upstream = UpstreamConfiguration(ports: servers.map(\.port))
        upstream.balance = .hash(key)
        let gateway = try TestGateway(upstream)
        var chosen: [String: Set<String>] = [:]
        for round in 0..<2 { for user in 0..<64 { chosen["\(user)", default: []].insert(try gateway.get("/\(round)", "\(prefix)\(user)").bodyText) } }
        #expect(chosen.values.allSatisfy { $0.count == 1 })
        #expect(chosen.values.reduce(into: Set<String>()) { $0.formUnion($1) }.count == 4)
        // Without one the address tells, which is the same for all.
        #expect(try Set((0..<6).map { try gateway.get("/\($0)").bodyText }).count == 1)
    }

    @Test func pathsAndBelievedAddresses() throws {
        let servers = try servers(4)
        var upstream = UpstreamConfiguration(ports: servers.map(\.port))
        upstream.balance = .hash(.path)
        let byPath = try TestGateway(upstream)
        #expect(try Set((0..<64).map { try byPath.get("/\($0)").bodyText }).count == 4)
        #expect(try Set((0..<6).map { try byPath.get("/same?\($0)").bodyText }).count == 1)
        #expect(try byPath.get("/a/../same").bodyText == byPath.get("/same").bodyText)
        upstream.balance = .hash(.address)
        let byAddress = try TestGateway(upstream)
        // Nobody here is believed about the clients behind him.
        #expect(try Set((0..<12).map { try byAddress.get("/\($0)", "X-Forwarded-For: 192.0.2.\($0)").bodyText }).count == 1)
        let behind = try TestGateway(upstream, configure: { $0.trustedProxies = [try! AddressPrefix.parse("127.0.0.0/8").get()] })
        #expect(try Set((0..<32).map { try behind.get("/\($0)", "X-Forwarded-For: 192.0.2.\($0)").bodyText }).count > 1)
        #expect(try Set((0..<32).map { try behind.get("/\($0)", "Forwarded: for=192.0.2.\($0)").bodyText }).count > 1)
        // With both, the one that a proxy is known to write.
        #expect(try Set((0..<32).map { try behind.get("/\($0)", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.\($0)").bodyText }).count == 1)
    }

    @Test func cookies() {
        func value(_ line: String) -> String? {
            let bytes = Array(line.utf8)
            return UpstreamKey.cookie(bytes.span, Array("id".utf8)).map { String(decoding: bytes[$0], as: UTF8.self) }
        }
        #expect(value("id=1") == "1")
        #expect(value("xid=1; id=2 ;id=3") == "2")
        #expect(value(" ;; a; id ; id=") == "")
        #expect(value("ID=1; idx=2; id") == nil)
        #expect(value("") == nil)
    }

    @Test func weightsAreKept() throws {
        let servers = try servers(3)
        var upstream = UpstreamConfiguration(ports: servers.map(\.port))
        (upstream.servers[0].weight, upstream.servers[1].weight, upstream.servers[2].weight) = (1, 2, 5)
        let gateway = try TestGateway(upstream)
        for _ in 0..<80 { _ = try gateway.get() }
        #expect(servers.map(\.requests.count) == [10, 20, 50])
    }

    @Test func backupsWaitUntilNoOtherIsWell() throws {
        let backup = try RecordingServer { _, _ in [.answer(200, "backup")] }
        let first = try RecordingServer { _, _ in [.answer(200, "first")] }
        var upstream = UpstreamConfiguration(ports: [backup.port, first.port])
        upstream.servers[0].isBackup = true
        let gateway = try TestGateway(upstream)
        #expect(try Set((0..<6).map { _ in try gateway.get().bodyText }) == ["first"])
        gateway.gateway.upstreams[0].servers.shared.setHealthy(1, false, now: MonotonicClock.now)
        #expect(try Set((0..<6).map { _ in try gateway.get().bodyText }) == ["backup"])
        gateway.gateway.upstreams[0].servers.shared.setHealthy(1, true, now: MonotonicClock.now)
        #expect(try gateway.get().bodyText == "first")
    }

    /// Few that are well would not bear what all bore.
    @Test func tooFewThatAreWellMakeAllServe() throws {
        let servers = try servers(4)
        var upstream = UpstreamConfiguration(ports: servers.map(\.port))
        upstream.panicThreshold = Percentage(hundredths: 5000)
        let gateway = try TestGateway(upstream)
        let shared = gateway.gateway.upstreams[0].servers.shared
        for server in 0..<2 { shared.setHealthy(server, false, now: MonotonicClock.now) }
        #expect(try Set((0..<12).map { _ in try gateway.get().bodyText }) == ["2", "3"])
        shared.setHealthy(2, false, now: MonotonicClock.now)
        #expect(try Set((0..<12).map { _ in try gateway.get().bodyText }) == ["0", "1", "2", "3"])
    }

    @Test func whoComesBackIsSparedAtFirst() throws {
        let servers = try servers(2)
        var upstream = UpstreamConfiguration(ports: servers.map(\.port))
        upstream.slowStartNs = 3_600_000_000_000
        let gateway = try TestGateway(upstream)
        let shared = gateway.gateway.upstreams[0].servers.shared
        _ = try gateway.get()
        shared.setHealthy(0, false, now: MonotonicClock.now)
        _ = try gateway.get()
        shared.setHealthy(0, true, now: MonotonicClock.now)
        let before = servers.map(\.requests.count)
        for _ in 0..<20 { _ = try gateway.get() }
        #expect(servers[0].requests.count - before[0] < 6)
        #expect(servers[1].requests.count - before[1] > 14)
    }
}
