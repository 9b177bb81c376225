// Keys of tokens from a URL: an issuer of our own that rotates them, goes down, comes back, and says what is none.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@testable import UringGateway

@Suite struct KeySourceTests {
    private static let ms: UInt64 = 1_000_000

    /// Shared with threads of servers.
    private final class Shared<Value: Sendable>: Sendable {
        private let value: Locked<Value>
        init(_ value: Value) { self.value = Locked(value) }
        func set(_ new: Value) { value.withLock { $0 = new } }
        var now: Value { value.withLock { $0 } }
        func change(_ body: (inout Value) -> Void) { value.withLock { body(&$0) } }
    }

    /// What the issuer says at the moment.
    private final class Issuer: Sendable {
        let acts = Shared<[ServerAct]>([])
        let server: RecordingServer

        init(port: UInt16 = 0, _ document: String) throws {
            let acts = acts
            server = try RecordingServer(port: port) { _, _ in acts.now }
            publish(document)
        }

        func publish(_ document: String, _ fields: String...) {
            let lines = fields.map { $0 + "\r\n" }.joined()
            acts.set([.send("HTTP/1.1 200 OK\r\nContent-Length: \(document.utf8.count)\r\n\(lines)\r\n\(document)")])
        }

        func set(_ act: ServerAct) { acts.set([act]) }
        var url: String { "http://127.0.0.1:\(server.port)/jwks.json" }
    }

    /// A gateway whose route `/` wants tokens, with times that no configuration may have, so that tests are quick.
    private final class Served {
        let gateway: Gateway
        let endpoint: Endpoint
        let lines = Shared<[String]>([])

        init(_ url: String, refreshMs: UInt64 = 60_000, minMs: UInt64 = 0, staleMs: UInt64 = 60_000, timeoutMs: UInt64 = 5000) throws {
            let lines = lines
            gateway = try Gateway(
                Self.configuration(url, refreshMs, minMs, staleMs, timeoutMs), log: OperationalLog(level: .info) { line in lines.change { $0.append(line) } })
            endpoint = try #require(gateway.listening.first.flatMap { Endpoint(line: $0) })
        }

        static func configuration(_ url: String, _ refreshMs: UInt64, _ minMs: UInt64, _ staleMs: UInt64, _ timeoutMs: UInt64 = 5000) throws -> Configuration {
            var configuration = try RunningGateway.configuration("routes: [{ name: a, match: {}, jwt: { keys: \"\(url)\", algorithms: [EdDSA] }, respond: { status: 204 } }]")
            configuration.routes[0].filters.jwt?.refreshNs = refreshMs * KeySourceTests.ms
            configuration.routes[0].filters.jwt?.refreshMinNs = minMs * KeySourceTests.ms
            configuration.routes[0].filters.jwt?.staleNs = staleMs * KeySourceTests.ms
            configuration.routes[0].filters.jwt?.fetchTimeoutNs = timeoutMs * KeySourceTests.ms
            return configuration
        }

        deinit {
            gateway.abort()
            gateway.stop()
        }

        func ask(_ token: String) throws -> RawResponse {
            let client = try RawClient(endpoint)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\n\r\n")
            return try client.readResponse()
        }

        /// Asks until the status is there; what comes, comes soon.
        func eventually(_ token: String, _ status: Int) throws -> Bool {
            for _ in 0..<4000 {
                if try ask(token).status == status { return true }
                usleep(1000)
            }
            return false
        }

        func figures() -> KeySource.Figures? { gateway.current.filters.keySources.first?.figures }
        func logged(_ text: String) -> Bool { lines.now.contains { $0.contains(text) } }
    }

    @Test func keysAreFetchedAndFollowRotation() throws {
        let issuer = try Issuer(FilterTokens.document(FilterTokens.keyOne))
        let served = try Served(issuer.url)
        #expect(try served.eventually(FilterTokens.byKeyOne, 204))
        #expect(issuer.server.requests.first?.line == "GET /jwks.json HTTP/1.1")
        // A key that is not known is refused, and makes a fetch that finds it.
        let refused = try served.ask(FilterTokens.byKeyTwo)
        #expect(refused.status == 401 && refused.value("www-authenticate")?.contains("the key is unknown") == true)
        issuer.publish(FilterTokens.document(FilterTokens.keyTwo))
        #expect(try served.eventually(FilterTokens.byKeyTwo, 204))
        // The old one is gone with it.
        #expect(try served.ask(FilterTokens.byKeyOne).status == 401)
        #expect(served.figures()?.keys == 1 && served.figures()?.failures == 0)
    }

    @Test func unknownKeysAskNoMoreOftenThanTheyMay() throws {
        let issuer = try Issuer(FilterTokens.document(FilterTokens.keyOne))
        let served = try Served(issuer.url, minMs: 3_600_000)
        #expect(try served.eventually(FilterTokens.byKeyOne, 204))
        for _ in 0..<50 { #expect(try served.ask(FilterTokens.byKeyTwo).status == 401) }
        #expect(issuer.server.requests.count == 1 && served.figures()?.fetches == 1)
    }

    @Test func withoutKeysItIsSaidSoUntilTheyCome() throws {
        let issuer = try Issuer("")
        issuer.set(.answer(500))
        let served = try Served(issuer.url)
        #expect(eventually { (served.figures()?.failures ?? 0) > 0 })
        let refused = try served.ask(FilterTokens.byKeyOne)
        #expect(refused.status == 503 && refused.value("retry-after") == "1" && refused.bodyText.contains("keys that tokens are verified with"))
        issuer.publish(FilterTokens.document(FilterTokens.keyOne))
        #expect(try served.eventually(FilterTokens.byKeyOne, 204))
        let figures = try #require(served.figures())
        #expect(figures.failures >= 1 && figures.unavailable >= 1 && figures.keys == 1 && figures.ageNs != nil)
        #expect(served.logged("cannot fetch \(issuer.url): status 500; there are none") && served.logged("1 key from \(issuer.url), which answers again"))
    }

    @Test func oldKeysServeWhileTheSourceIsDown() throws {
        let issuer = try Issuer(FilterTokens.document(FilterTokens.keyOne))
        let served = try Served(issuer.url, refreshMs: 50)
        #expect(try served.eventually(FilterTokens.byKeyOne, 204))
        issuer.set(.reset)
        #expect(eventually { (served.figures()?.failures ?? 0) > 0 })
        #expect(try served.ask(FilterTokens.byKeyOne).status == 204 && served.logged("the old keys serve on"))
        // Documents that are none change nothing either.
        issuer.publish("{\"keys\":[]}")
        let before = served.figures()?.failures ?? 0
        #expect(eventually { (served.figures()?.failures ?? 0) > before })
        #expect(try served.ask(FilterTokens.byKeyOne).status == 204)
    }

    @Test func oldKeysServeNoLongerThanTheyMay() throws {
        let issuer = try Issuer(FilterTokens.document(FilterTokens.keyOne))
        let served = try Served(issuer.url, refreshMs: 50, staleMs: 100)
        #expect(try served.eventually(FilterTokens.byKeyOne, 204))
        issuer.set(.reset)
        #expect(try served.eventually(FilterTokens.byKeyOne, 503))
        #expect(served.figures()?.keys == 0 && served.logged("the old keys are too old"))
    }

    @Test func whatIsTooMuchOrTooSlowIsGivenUp() throws {
        let issuer = try Issuer(String(repeating: " ", count: 1 << 20) + FilterTokens.document(FilterTokens.keyOne))
        let big = try Served(issuer.url)
        #expect(eventually { (big.figures()?.failures ?? 0) > 0 })
        #expect(try big.ask(FilterTokens.byKeyOne).status == 503)
        issuer.set(.hang)
        let slow = try Served(issuer.url, timeoutMs: 50)
        #expect(eventually { slow.logged("cannot fetch") })
        #expect(try slow.ask(FilterTokens.byKeyOne).status == 503)
        // Whoever can read a document could sign with a secret in it.
        issuer.publish(FilterTokens.keySet)
        let secret = try Served(issuer.url)
        #expect(eventually { (secret.figures()?.failures ?? 0) > 0 })
        #expect(try secret.ask(FilterTokens.alice).status == 503)
    }

    @Test func keysOfOtherAlgorithmsAreToldOf() throws {
        let issuer = try Issuer(FilterTokens.document(FilterTokens.keyOne))
        var configuration = try Served.configuration(issuer.url, 60_000, 0, 0)
        configuration.routes[0].filters.jwt?.algorithms = ["RS256"]
        let lines = Shared<[String]>([])
        let gateway = try Gateway(configuration, log: OperationalLog(level: .info) { line in lines.change { $0.append(line) } })
        defer { gateway.stop() }
        let endpoint = try #require(gateway.listening.first.flatMap { Endpoint(line: $0) })
        #expect(
            eventually {
                guard let client = try? RawClient(endpoint), (try? client.send("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(FilterTokens.byKeyOne)\r\n\r\n")) != nil else { return false }
                return (try? client.readResponse().status) == 503 && lines.now.contains { $0.contains("jwt of the route a: ") && $0.contains("RS256") }
            })
    }

    @Test func serversMustBeVouchedFor() throws {
        let files = TLSDirectory()
        files.write("a.pem", TLSFixtures.certificate)
        files.write("a.key", TLSFixtures.key)
        var options = ServerOptions()
        options.loops = .count(1)
        let asked = Shared(0)
        let server = try Server(listeners: [Listener("127.0.0.1:0", tls: .files(cert: "\(files.path)/a.pem", key: "\(files.path)/a.key"))], options: options) { _, response in
            asked.change { $0 += 1 }
            response.write(FilterTokens.document(FilterTokens.keyOne))
        }.start()
        defer { server.stop(within: .seconds(5)) }
        let port = try #require(server.addresses[0].split(separator: ":").last)
        let served = try Served("https://127.0.0.1:\(port)/jwks.json")
        #expect(eventually { (served.figures()?.failures ?? 0) > 0 })
        #expect(try served.ask(FilterTokens.byKeyOne).status == 503 && asked.now == 0)
    }

    @Test func reloadsKeepWhatWasFetched() throws {
        let issuer = try Issuer(FilterTokens.document(FilterTokens.keyOne))
        let served = try Served(issuer.url)
        #expect(try served.eventually(FilterTokens.byKeyOne, 204))
        issuer.set(.hang)
        _ = try served.gateway.reload(try Served.configuration(issuer.url, 60_000, 0, 60_000))
        #expect(try served.ask(FilterTokens.byKeyOne).status == 204 && served.figures()?.fetches == 1)
        // With other times too, although these make a fetch.
        _ = try served.gateway.reload(try Served.configuration(issuer.url, 70_000, 0, 60_000))
        #expect(try served.ask(FilterTokens.byKeyOne).status == 204)
    }

    @Test func lifetimesAreRead() {
        #expect(KeySource.lifetimeNs("public, max-age=60") == 60_000_000_000)
        #expect(KeySource.lifetimeNs("Max-Age=\"5\", max-age=7") == 5_000_000_000)
        #expect(KeySource.lifetimeNs("max-age=60, no-cache") == 0 && KeySource.lifetimeNs("no-store") == 0)
        #expect(KeySource.lifetimeNs("max-age=99999999999999999999") == .max && KeySource.lifetimeNs("max-age=18446744073709551615") == .max)
        for text in ["", "max-age", "max-age=", "max-age=-1", "max-age=1.5", "s-maxage=3", "="] { #expect(KeySource.lifetimeNs(text) == nil, "\(text)") }
    }

    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<4000 {
            if condition() { return true }
            usleep(1000)
        }
        return false
    }
}
