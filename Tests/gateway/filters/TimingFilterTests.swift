// Server-Timing of routes: what it says, and that it is there for whatever answers.

import TestSupport
import Testing

@testable import UringGateway

@Suite struct TimingFilterTests {
    /// `wait;dur=0.012, app;dur=1.234` as two numbers.
    private func parse(_ value: String?) -> [Double] {
        (value ?? "").split(separator: ",").compactMap { part in
            let sides = part.split(separator: "=")
            return sides.count == 2 ? Double(sides[1]) : nil
        }
    }

    @Test func responsesTellTheirTime() throws {
        let upstream = try RecordingServer { _, _ in [.answer(200, "far")] }
        let gateway = try RunningGateway(
            """
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes:
              - { name: near, match: { path: /near }, server-timing: on, respond: { body: near } }
              - { name: plain, match: { path: /plain }, respond: { body: plain } }
              - { name: edited, match: { path: /edited }, server-timing: on, headers: { remove: [server-timing] }, respond: { body: edited } }
              - { name: far, match: { path: /far }, server-timing: on, proxy: { upstream: orders } }
            """)
        for path in ["/near", "/far"] {
            let response = try gateway.ask(path)
            let value = response.value("server-timing")
            #expect(response.status == 200 && value?.hasPrefix("wait;dur=") == true && value?.contains(", app;dur=") == true, "\(path) \(value ?? "")")
            let times = parse(value)
            #expect(times.count == 2 && times.allSatisfy { $0 >= 0 && $0 < 60_000 })
        }
        #expect(try gateway.ask("/plain").value("server-timing") == nil)
        #expect(try gateway.ask("/edited").value("server-timing") == nil)
    }

    @Test func timesAreThoseOfTheNote() {
        let second: UInt64 = 1_000_000_000
        let note = TimingFilter.note(now: 100 * second, turn: 100 * second - 12_345)
        #expect(TimingFilter.value(note: note, now: 100 * second + 1_234_567) == "wait;dur=0.012, app;dur=1.234")
        // More than a second is told as one, and no wait as none.
        #expect(TimingFilter.value(note: TimingFilter.note(now: 100 * second, turn: 1), now: 100 * second) == "wait;dur=1048.575, app;dur=0.000")
        #expect(TimingFilter.value(note: TimingFilter.note(now: 5, turn: 6), now: 5).hasPrefix("wait;dur=0.000"))
        // The clock's upper bits are cut off in the note, and come back.
        let late: UInt64 = (1 << 44) - 1000
        #expect(TimingFilter.value(note: TimingFilter.note(now: late, turn: late), now: late + 5_000_000) == "wait;dur=0.000, app;dur=5.000")
    }
}
