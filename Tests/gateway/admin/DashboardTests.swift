// The dashboard's page and its events, over the wire. What a browser makes of them is Tests/Dashboard's.

import Foundation
import TestSupport
import Testing
import UringBase
@testable import UringGateway

@Suite struct DashboardTests {
    @Test func thePageIsWholeAndRunsOnlyWhatStandsInIt() throws {
        let served = try AdminGateway("")
        let (one, two) = try (served.ask("/dashboard"), served.ask("/dashboard"))
        #expect(one.status == 200 && one.value("content-type") == "text/html; charset=utf-8")
        let policy = try #require(one.value("content-security-policy"))
        let nonce = try #require(policy.split(separator: "'").first { $0.hasPrefix("nonce-") }).dropFirst(6)
        #expect(nonce.count == 32 && policy.hasPrefix("default-src 'none'; "))
        // Each answer has one of its own.
        #expect(two.value("content-security-policy") != policy)
        let page = one.bodyText
        #expect(page.hasPrefix("<!doctype html>") && page.hasSuffix("</html>\n"))
        #expect(page.components(separatedBy: "nonce=\"\(nonce)\"").count == 3)
        // Nothing is asked of anybody else, and no attribute has a style or a script, which the policy forbids.
        for word in ["http:", "https:", "src=", " style=", " onclick=", "url("] { #expect(!page.contains(word), "\(word)") }
    }

    @Test func eventsBeginWithWhatThereIsAndGoOn() throws {
        let served = try AdminGateway("")
        #expect(try served.get("/hello").status == 200)
        let events = try Events(served)
        let hello = try events.next()
        #expect(hello.kind == "hello")
        let facts = try #require(try JSONSerialization.jsonObject(with: Data(hello.data.utf8)) as? [String: Any])
        #expect((facts["bounds"] as? [Any])?.count == RouteRow.bounds.count && (facts["phases"] as? [String])?.first == "kernel")
        let (first, second) = try (events.next(), events.next())
        #expect(first.id == "1" && second.id == "2")
        let sample = try #require(try JSONSerialization.jsonObject(with: Data(second.data.utf8)) as? [String: Any])
        #expect(sample["ready"] as? Bool == true)
        #expect((sample["loops"] as? [Any])?.count == 2)
        let route = try #require((sample["routes"] as? [[String: Any]])?.first)
        #expect(route["name"] as? String == "hello" && route["c"] as? [Int] == [0, 1, 0, 0, 0])
        // Who comes later has what has been, and who was cut off goes on where it was.
        let later = try Events(served, "Last-Event-ID: 1\r\n")
        #expect(try later.next().kind == "hello")
        #expect(try later.next().id == "2")
        // A number of another process, and none.
        #expect(try Events(served, "Last-Event-ID: 99999\r\n").skippingHello().id == "1")
        #expect(try Events(served, "Last-Event-ID: x\r\n").skippingHello().id == "1")
    }

    @Test func eventsNeedATokenAndThePageDoesNot() throws {
        let served = try AdminGateway("admin: { address: \"127.0.0.1:0\", tokens: [the-first-token-of-all] }")
        #expect(try served.ask("/dashboard").status == 200)
        #expect(try served.ask("/dashboard/events").status == 401)
        #expect(try Events(served, "Authorization: Bearer the-first-token-of-all\r\n").next().kind == "hello")
        #expect(try served.ask("/dashboard", method: "POST").status == 405)
    }

    @Test func historyForgetsTheOldest() {
        let history = DashboardHistory()
        #expect(history.last == 0 && history.next(after: 0) == nil)
        for number in 1...DashboardHistory.samplesMax + 5 { history.append([UInt8(truncatingIfNeeded: number)]) }
        #expect(history.last == UInt64(DashboardHistory.samplesMax) + 5)
        #expect(history.next(after: 0)?.number == 6)
        #expect(history.next(after: 100).map { [$0.sample] } == [[101]])
        #expect(history.next(after: history.last) == nil && history.next(after: .max) == nil)
        // Large ones are fewer.
        for _ in 1...20 { history.append([UInt8](repeating: 0, count: DashboardHistory.bytesMax / 8)) }
        #expect(history.next(after: 0)?.number == history.last - 7)
    }

    @Test func linesAreKept() {
        let log = OperationalLog(level: .info) { _ in }
        log.info("not told")
        for number in 1...OperationalLog.keptMax + 3 { log.warning("line \(number)") }
        log.error(String(repeating: "x", count: 2000))
        let lines = log.lines(after: 0)
        #expect(lines.count == OperationalLog.keptMax && lines[0].text == "line 5" && lines[0].level == "warning")
        #expect(lines.last?.text.count == OperationalLog.keptCharactersMax)
        #expect(log.lines(after: lines[47].number).count == 2)
        log.level = .critical
        log.warning("nobody reads this")
        #expect(log.lines(after: 0).last?.level == "error")
    }

    @Test func stallsAreCountedByRoute() {
        let table = StallTable()
        for number in 0..<200 { table.add("route \(number)", nanoseconds: UInt64(number), nowMs: 7) }
        table.add("route 1", nanoseconds: 500, nowMs: 9)
        let rows = table.all
        #expect(rows.count == StallTable.routesMax)
        #expect(rows[1].count == 2 && rows[1].maxNs == 500 && rows[1].sumNs == 501 && rows[1].lastMs == 9)
        #expect(rows.last?.route == "other" && rows.last?.count == UInt64(200 - StallTable.routesMax + 1))
    }
}

/// Server-sent events as they come.
private final class Events {
    private let client: RawClient
    private var rest = ""

    init(_ served: AdminGateway, _ fields: String = "") throws {
        client = try RawClient(served.admin)
        try client.send("GET /dashboard/events HTTP/1.0\r\nHost: a\r\n\(fields)\r\n")
        while !rest.contains("\r\n\r\n") { rest += String(decoding: try client.readAvailable(), as: UTF8.self) }
        let head = rest.range(of: "\r\n\r\n")!
        #expect(rest[..<head.lowerBound].contains("text/event-stream"))
        rest.removeSubrange(..<head.upperBound)
    }

    func next() throws -> (kind: String, id: String, data: String) {
        while true {
            if let end = rest.range(of: "\n\n") {
                let block = rest[..<end.lowerBound].split(separator: "\n").map(String.init)
                rest.removeSubrange(..<end.upperBound)
                func value(_ name: String) -> String { block.first { $0.hasPrefix(name + ": ") }.map { String($0.dropFirst(name.count + 2)) } ?? "" }
                return (value("event"), value("id"), value("data"))
            }
            let more = try client.readAvailable()
            if more.isEmpty { throw GatewayError("the events have ended") }
            rest += String(decoding: more, as: UTF8.self)
        }
    }

    func skippingHello() throws -> (kind: String, id: String, data: String) {
        _ = try next()
        return try next()
    }
}
