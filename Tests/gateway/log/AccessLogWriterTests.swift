// The writer against sinks that take everything, a part, or nothing; and the file against files, pipes and rotation.

import Glibc
import Testing

@testable import UringGateway

/// Takes what it is told to.
private final class ScriptedSink: AccessLogSink {
    var taken: [UInt8] = []
    var calls = 0
    /// Bytes per call; nil for all.
    var takes: Int?
    var failure: CInt?
    var reopenResult: CInt = 0

    func write(_ lines: UnsafeRawBufferPointer) -> AccessLogSinkResult {
        calls += 1
        if let failure { return .failed(failure) }
        let count = min(takes ?? lines.count, lines.count)
        // The lines live through the call; they are copied.
        unsafe taken += Array(lines[..<count])
        return .wrote(count)
    }

    func reopen() -> CInt { reopenResult }
}

@Suite struct AccessLogWriterTests {
    private func append(_ writer: AccessLogWriter, _ fixture: LogFixture = LogFixture()) {
        fixture.withEntry { entry in writer.append(entry) }
    }

    private let line = LogFixture().line(.combined)

    @Test func linesWaitForTheFlush() {
        let sink = ScriptedSink()
        let writer = AccessLogWriter(format: .combined, bufferBytes: 16384, sink: sink)
        append(writer)
        append(writer)
        #expect(sink.taken == [] && writer.pendingBytes == 2 * line.count)
        writer.flush()
        #expect(sink.taken == line + line && writer.pendingBytes == 0)
        writer.flush()
        #expect(sink.calls == 1)
        #expect(writer.counters == AccessLogCounters(linesWritten: 2))
    }

    @Test func aFullBufferIsWritten() {
        let sink = ScriptedSink()
        let writer = AccessLogWriter(format: .combined, bufferBytes: 0, sink: sink)
        let fit = AccessLogLine.bytesMax / line.count + 1
        for _ in 0..<fit { append(writer) }
        #expect(sink.calls == 0)
        append(writer)
        #expect(sink.calls == 1)
        #expect(sink.taken.count == fit * line.count)
        #expect(writer.counters.linesWritten == UInt64(fit))
    }

    @Test func aFullDiskDropsNewLinesAndCountsThem() {
        let sink = ScriptedSink()
        sink.failure = ENOSPC
        let writer = AccessLogWriter(format: .combined, bufferBytes: 0, sink: sink)
        for _ in 0..<1000 { append(writer) }
        // One attempt only: no system call per request.
        #expect(sink.calls == 1)
        let kept = writer.pendingBytes / line.count
        #expect(writer.counters == AccessLogCounters(linesDropped: UInt64(1000 - kept), writeFailures: 1, lastErrno: ENOSPC))
        writer.flush()
        #expect(writer.counters.writeFailures == 2)
        sink.failure = nil
        writer.flush()
        append(writer)
        writer.flush()
        #expect(sink.taken == Array(repeatElement(line, count: kept + 1).joined()))
        #expect(writer.counters.linesWritten == UInt64(kept + 1))
    }

    /// Whatever the sink takes at a time, the bytes arrive whole and in order.
    @Test func shortWritesLoseNothing() {
        for takes in 1...(line.count * 2 + 1) {
            let sink = ScriptedSink()
            sink.takes = takes
            let writer = AccessLogWriter(format: .combined, bufferBytes: 16384, sink: sink)
            for _ in 0..<3 { append(writer) }
            while writer.pendingBytes > 0 { writer.flush() }
            #expect(sink.taken == line + line + line)
            #expect(writer.counters == AccessLogCounters(linesWritten: 3))
        }
    }

    @Test func aRotationAfterAShortWriteLosesOneLineAndSplitsNone() {
        let sink = ScriptedSink()
        sink.takes = line.count + 5
        let writer = AccessLogWriter(format: .combined, bufferBytes: 16384, sink: sink)
        for _ in 0..<3 { append(writer) }
        #expect(writer.reopen() == 0)
        sink.taken = []
        sink.takes = nil
        writer.flush()
        #expect(sink.taken == line)
        #expect(writer.counters == AccessLogCounters(linesWritten: 2, linesDropped: 1))
    }

    @Test func aFailedRotationKeepsTheOldFile() {
        let sink = ScriptedSink()
        sink.reopenResult = EACCES
        let writer = AccessLogWriter(format: .combined, bufferBytes: 16384, sink: sink)
        append(writer)
        #expect(writer.reopen() == EACCES)
        append(writer)
        writer.flush()
        #expect(sink.taken == line + line)
        #expect(writer.counters == AccessLogCounters(linesWritten: 2, writeFailures: 1, lastErrno: EACCES))
    }

    @Test func closeCountsWhatIsLost() {
        let sink = ScriptedSink()
        sink.failure = EPIPE
        let writer = AccessLogWriter(format: .combined, bufferBytes: 16384, sink: sink)
        append(writer)
        append(writer)
        writer.close()
        #expect(writer.counters == AccessLogCounters(linesDropped: 2, writeFailures: 1, lastErrno: EPIPE))
        #expect(writer.pendingBytes == 0)
    }

    // MARK: Files

    @Test func aFileIsMadeAppendedToAndRotated() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/access.log"
        let writer = AccessLogWriter(format: .combined, bufferBytes: 16384, sink: try AccessLogFile.open(path: path).get())
        append(writer)
        writer.flush()
        append(writer)
        unsafe rename(path, path + ".1")
        #expect(writer.reopen() == 0)
        append(writer)
        writer.close()
        let text = LogFixture().text(.combined)
        #expect(directory.read("access.log.1") == text + text)
        #expect(directory.read("access.log") == text)
        #expect(writer.counters == AccessLogCounters(linesWritten: 3))
    }

    @Test func aFileThatCannotBeOpenedSaysWhy() {
        guard case .failure(let problem) = AccessLogFile.open(path: "/nonexistent/access.log") else {
            Issue.record("opened")
            return
        }
        #expect(problem.reason == "cannot open the access log `/nonexistent/access.log`: No such file or directory")
    }

    @Test func aFullDeviceIsCounted() throws {
        let writer = AccessLogWriter(format: .combined, bufferBytes: 16384, sink: try AccessLogFile.open(path: "/dev/full").get())
        append(writer)
        writer.close()
        #expect(writer.counters == AccessLogCounters(linesDropped: 1, writeFailures: 1, lastErrno: ENOSPC))
    }

    /// A reader that does not read: the pipe fills, lines are dropped, nothing blocks; a reader that goes away: EPIPE.
    @Test func aStuckPipeNeverBlocks() throws {
        signal(SIGPIPE, SIG_IGN)
        let directory = try TemporaryDirectory()
        let path = directory.path + "/fifo"
        #expect(unsafe mkfifo(path, 0o600) == 0)
        let reader = unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        let writer = AccessLogWriter(format: .combined, bufferBytes: 16384, sink: try AccessLogFile.open(path: path).get())
        for _ in 0..<2000 { append(writer) }
        #expect(writer.counters.linesDropped > 0)
        writer.flush()
        #expect(writer.counters.lastErrno == EAGAIN)
        // What arrived is whole lines.
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        // The kernel writes into `bytes` during the call.
        let count = unsafe read(reader, &bytes, bytes.count)
        #expect(count > 0 && count % line.count == 0)
        #expect(Array(bytes[..<max(count, 0)]) == Array(repeatElement(line, count: max(count, 0) / line.count).joined()))
        close(reader)
        writer.flush()
        #expect(writer.counters.lastErrno == EPIPE)
    }
}
