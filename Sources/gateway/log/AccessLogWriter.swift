// One loop's access log: a buffer of whole lines that is written when it is full, when the timer ticks, and at drain.
// Owned by the loop and used on its thread only. Serving never waits for the log: what does not fit is dropped and counted.

/// Where the lines go. `AccessLogFile` is the usual one; a server may route them through its ring instead.
package protocol AccessLogSink: AnyObject {
    /// Takes bytes from the front without blocking and without keeping them; they are whole lines, but for the rest of one
    /// that an earlier call took in part.
    func write(_ lines: UnsafeRawBufferPointer) -> AccessLogSinkResult
    /// Opens the destination anew after a rotation. Returns 0, or an errno; then the old destination stays.
    func reopen() -> CInt
}

package enum AccessLogSinkResult: Sendable, Equatable {
    /// Took this many bytes, perhaps fewer than offered.
    case wrote(Int)
    /// Took nothing; the errno says why.
    case failed(CInt)
}

/// For metrics; only ever grow.
package struct AccessLogCounters: Sendable, Equatable {
    package var linesWritten: UInt64 = 0
    package var linesDropped: UInt64 = 0
    package var writeFailures: UInt64 = 0
    /// Of the latest failure; 0 when there was none.
    package var lastErrno: CInt = 0
}

// Safe: the buffer never leaves the writer but for the length of a call to the sink, and all ranges are inside it.
@safe package final class AccessLogWriter {
    private let format: AccessLogConfiguration.Format
    private let sink: any AccessLogSink
    /// Freed in deinit.
    private let buffer: UnsafeMutableRawBufferPointer
    private var count = 0
    /// After a failure full buffers do not try again until `flush`: a full disk must not cost a system call per request.
    private var isBlocked = false
    /// The sink took a part of the line that now begins the buffer.
    private var isMidLine = false
    package private(set) var counters = AccessLogCounters()

    /// `bufferBytes` is at least the minimum of the option table; smaller values are raised to two lines.
    package init(format: AccessLogConfiguration.Format, bufferBytes: Int, sink: any AccessLogSink) {
        self.format = format
        self.sink = sink
        unsafe buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(bufferBytes, 2 * AccessLogLine.bytesMax), alignment: 16)
    }

    deinit { unsafe buffer.deallocate() }

    /// Bytes that wait for `flush`; the owner arms its timer when this leaves 0.
    package var pendingBytes: Int { count }

    /// Formats a line into the buffer; writes the buffer first when it is full. Does not allocate and does not block.
    package func append(_ entry: borrowing AccessLogEntry) {
        if unsafe buffer.count &- count < AccessLogLine.bytesMax {
            if !isBlocked { flush() }
            guard unsafe buffer.count &- count >= AccessLogLine.bytesMax else {
                counters.linesDropped &+= 1
                return
            }
        }
        let room = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
        count &+= unsafe AccessLogLine.write(entry, as: format, into: room)
    }

    /// Writes what waits, as far as the sink takes it. Called by the timer and at drain.
    package func flush() {
        isBlocked = false
        guard count > 0 else { return }
        // The buffer lives as long as the writer; the sink does not keep the pointer.
        switch unsafe sink.write(UnsafeRawBufferPointer(rebasing: buffer[..<count])) {
        case .wrote(let taken):
            precondition(taken >= 0 && taken <= count, "BUG: the sink took more than it was given")
            isBlocked = taken < count
            remove(taken)
        case .failed(let code):
            isBlocked = true
            counters.writeFailures &+= 1
            counters.lastErrno = code
        }
    }

    /// For log rotation: what waits goes to the old file, what comes to the new one. Returns 0 or an errno.
    package func reopen() -> CInt {
        flush()
        let code = sink.reopen()
        if code != 0 {
            counters.writeFailures &+= 1
            counters.lastErrno = code
        } else if isMidLine {
            // Half a line at the head of a new file would be garbage.
            dropFirstLine()
        }
        isBlocked = false
        return code
    }

    /// The last flush. Lines that the sink does not take any more count as dropped.
    package func close() {
        flush()
        counters.linesDropped &+= newlines(upTo: count)
        count = 0
        isMidLine = false
    }

    private func remove(_ taken: Int) {
        guard taken > 0 else { return }
        counters.linesWritten &+= newlines(upTo: taken)
        isMidLine = unsafe buffer[taken &- 1] != UInt8(ascii: "\n")
        shift(taken)
    }

    private func dropFirstLine() {
        var end = 0
        while end < count, unsafe buffer[end] != UInt8(ascii: "\n") { end &+= 1 }
        counters.linesDropped &+= 1
        shift(min(end &+ 1, count))
        isMidLine = false
    }

    /// Moves the rest to the front.
    private func shift(_ taken: Int) {
        count &-= taken
        guard count > 0 else { return }
        // Both ranges are inside the buffer; memmove allows the overlap.
        unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[taken..<(taken &+ count)]))
    }

    private func newlines(upTo end: Int) -> UInt64 {
        var result: UInt64 = 0
        for index in 0..<end where unsafe buffer[index] == UInt8(ascii: "\n") { result &+= 1 }
        return result
    }
}
