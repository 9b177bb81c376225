// No malloc, retain or release for a message in the steady state, counted by a program of its own (Tests/Allocation/WebSocketProbe).

import Foundation
import Testing

@Suite struct AllocationTests {
    /// Beside the test bundle.
    private static var probe: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().appendingPathComponent("websocket-probe")
    }

    @Test func steadyState() throws {
        let process = Process()
        process.executableURL = Self.probe
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let lines = text.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(lines.map { String($0[0]) } == ["text", "fragments", "ping", "output", "inflate", "deflate"])
        for line in lines {
            #expect(line[1] == "0", "\(line[0]): allocations")
            #if !DEBUG
                // Without optimisation the compiler counts references that it need not.
                #expect(line[2] == "0" && line[3] == "0", "\(line[0]): reference counts")
            #endif
        }
    }
}
