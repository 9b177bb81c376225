// The flight recorder of a gateway: the page, the files, how often they are written and where.

import Foundation
import Glibc
import TestSupport
import Testing
@testable import UringGateway

@Suite struct FlightRecorderTests {
    private func lines(_ bytes: some Sequence<UInt8>) throws -> [[String: Any]] {
        try String(decoding: Array(bytes), as: UTF8.self).split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    private func temporary() throws -> String {
        let path = "/tmp/uringd-flight-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try #require(unsafe mkdir(path, 0o700) == 0)
        return path
    }

    private func eventually(_ condition: () -> Bool) -> Bool {
        for _ in 0..<20_000 {
            if condition() { return true }
            usleep(1000)
        }
        return false
    }

    private func remove(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

    // MARK: the page

    @Test func thePageTellsWhatHappened() throws {
        let served = try AdminGateway("")
        #expect(try served.get("/hello").status == 200)
        served.gateway.log.notice("something \"quoted\"", .breaker)
        let response = try served.ask("/flight-recorder")
        #expect(response.status == 200 && response.value("content-type") == "application/x-ndjson" && response.value("cache-control") == "no-store")
        let events = try lines(response.bodyText.utf8)
        let head = try #require(events.first)
        #expect(head["event"] as? String == "dump" && head["reason"] as? String == "request" && head["loops"] as? Int == 2 && head["within"] as? Double == 30)
        #expect(head["events"] as? Int == events.count - 1 && head["pid"] as? Int == Int(getpid()))
        let request = try #require(events.first { $0["event"] as? String == "request" })
        #expect(request["status"] as? Int == 200 && request["route"] as? String == "hello" && request["us"] as? Double != nil && request["loop"] as? Int != nil)
        let accept = try #require(events.first { $0["event"] as? String == "accept" })
        #expect(accept["connection"] as? Int == request["connection"] as? Int)
        // What no loop does is there too, whatever the level of the log.
        let breaker = try #require(events.first { $0["event"] as? String == "breaker" })
        #expect(breaker["text"] as? String == "something \"quoted\"" && breaker["level"] as? String == "notice")
        let times = events.dropFirst().compactMap { $0["time"] as? Double }
        #expect(times.count == events.count - 1 && times == times.sorted())
        #expect(abs(times[0] - Date().timeIntervalSince1970) < 3600)
    }

    @Test func theQueryIsAnAge() throws {
        let served = try AdminGateway("")
        let old = try served.ask("/flight-recorder?seconds=86400")
        #expect(try lines(old.bodyText.utf8).first?["within"] as? Double == 86_400)
        for query in ["seconds=0", "seconds=86401", "seconds=x", "minutes=1"] {
            let refused = try served.ask("/flight-recorder?" + query)
            #expect(refused.status == 400 && refused.bodyText.contains("seconds=N"))
        }
    }

    @Test func withoutEventsThereIsNoRecorder() throws {
        let served = try AdminGateway("admin: { address: \"127.0.0.1:0\", flight-recorder: { events: 0 } }")
        let refused = try served.ask("/flight-recorder")
        #expect(refused.status == 404 && refused.bodyText.contains("flight recorder is off"))
        served.gateway.dumpFlight()
        let counts = served.gateway.reporter.flight.counts
        #expect(counts.skipped == 0 && counts.failed == 0 && counts.written.allSatisfy { $0 == 0 })
    }

    // MARK: files

    @Test func aDumpIsAFileOfItsOwn() throws {
        let directory = try temporary()
        defer { remove(directory) }
        let served = try AdminGateway("admin: { address: \"127.0.0.1:0\", flight-recorder: { directory: \"\(directory)\", events: 100, files: 2 } }")
        #expect(try served.get("/hello").status == 200)
        served.gateway.reporter.flight.dump(.breaker)
        #expect(eventually { served.gateway.reporter.flight.counts.written.reduce(0, +) == 1 })
        let name = try #require(try FileManager.default.contentsOfDirectory(atPath: directory).first)
        #expect(name.hasPrefix("uringd-flight-2") && name.hasSuffix("-\(getpid())-breaker.jsonl"))
        let path = directory + "/" + name
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
        let events = try lines(try #require(FileManager.default.contents(atPath: path)))
        #expect(events.first?["reason"] as? String == "breaker" && events.contains { $0["event"] as? String == "request" })
        // A second at once is one too many, and is counted.
        served.gateway.reporter.flight.dump(.stall)
        #expect(served.gateway.reporter.flight.counts.skipped == 1)
        let page = try served.ask("/metrics").bodyText
        #expect(served.sample("uringd_flight_recorder_dumps_total{reason=\"breaker\"}", in: page) == 1)
        #expect(served.sample("uringd_flight_recorder_dumps_skipped_total", in: page) == 1)
        #expect(try #require(served.sample("uringd_flight_recorder_events_total", in: page)) > 0)
        #expect(served.gateway.log.recorded.isEmpty)
    }

    @Test func aDirectoryThatGoesAwayIsAnError() throws {
        let directory = try temporary()
        let served = try AdminGateway("admin: { address: \"127.0.0.1:0\", flight-recorder: { directory: \"\(directory)\" } }")
        remove(directory)
        served.gateway.dumpFlight()
        #expect(eventually { served.gateway.reporter.flight.counts.failed == 1 })
    }

    @Test func dumpsArePausedByReason() {
        let second: UInt64 = 1_000_000_000
        #expect(FlightRecorder.admits(.stall, now: 5, lastNs: nil))
        #expect(!FlightRecorder.admits(.stall, now: 10 * second, lastNs: second) && FlightRecorder.admits(.stall, now: 11 * second, lastNs: second))
        // Whoever sends a signal wants one.
        #expect(FlightRecorder.admits(.signal, now: 2 * second, lastNs: second) && !FlightRecorder.admits(.signal, now: 2 * second - 1, lastNs: second))
        #expect(!FlightRecorder.admits(.signal, now: 0, lastNs: second))
    }

    // MARK: directories

    @Test func theOldestFilesGo() throws {
        let path = try temporary()
        defer { remove(path) }
        let directory = try FlightDirectory.open(path).get()
        defer { directory.close() }
        _ = FileManager.default.createFile(atPath: path + "/other.jsonl", contents: nil)
        for number: UInt64 in 1...5 { _ = try directory.write([0x78], reason: "stall", unixNs: number * 1_000_000_000, keep: 3).get() }
        #expect(directory.dumps() == (3...5).map { FlightDirectory.name("stall", unixNs: $0 * 1_000_000_000, pid: getpid()) })
        #expect(FileManager.default.fileExists(atPath: path + "/other.jsonl"))
        // A file is never written over.
        guard case .failure(let problem) = directory.write([0x79], reason: "stall", unixNs: 5_000_000_000, keep: 9) else {
            Issue.record("it was taken")
            return
        }
        #expect(problem.reason.contains("cannot make"))
    }

    @Test func namesAreInTheOrderOfTime() {
        #expect(FlightDirectory.name("signal", unixNs: 1_795_820_502_007_000_000, pid: 4711) == "uringd-flight-2026-11-27T23:01:42.007Z-4711-signal.jsonl")
    }

    @Test func theStandardDirectoryBelongsToThisUserAlone() throws {
        let base = try temporary()
        defer { remove(base) }
        #expect(FlightDirectory.standard { ["LOGS_DIRECTORY": "/var/log/a:/var/log/b", "STATE_DIRECTORY": "/var/lib/a"][$0] } == "/var/log/a")
        #expect(FlightDirectory.standard { ["STATE_DIRECTORY": "/var/lib/a", "TMPDIR": base][$0] } == "/var/lib/a")
        #expect(FlightDirectory.standard { ["TMPDIR": "relative"][$0] } == "/tmp/uringd-\(geteuid())")
        let place = FlightDirectory.standard { ["TMPDIR": base][$0] }
        #expect(place == "\(base)/uringd-\(geteuid())")
        let directory = try FlightDirectory.open(nil, standard: place).get()
        directory.close()
        #expect(try FileManager.default.attributesOfItem(atPath: place)[.posixPermissions] as? Int == 0o700)
        // Others could put something in its place.
        unsafe chmod(place, 0o770)
        guard case .failure(let open) = FlightDirectory.open(nil, standard: place) else {
            Issue.record("it was taken")
            return
        }
        #expect(open.reason.contains("others may write"))
        // A link leads who knows where.
        remove(place)
        unsafe symlink("/tmp", place)
        guard case .failure(let link) = FlightDirectory.open(nil, standard: place) else {
            Issue.record("it was taken")
            return
        }
        #expect(link.reason.contains("cannot open"))
    }

    @Test func defaultsAreThoseOfTheTable() {
        #expect(load(withBase("admin: { address: \"127.0.0.1:9901\" }")).configuration?.flightRecorder == FlightConfiguration())
        #expect(load(withBase("")).configuration?.flightRecorder == FlightConfiguration())
    }

    @Test func aDirectoryMustExist() {
        let problems = AdminGateway.load("admin: { address: \"127.0.0.1:9901\", flight-recorder: { directory: /nowhere/at/all } }", "/tmp").render()
        #expect(problems.contains("admin.flight-recorder.directory: "))
    }
}
