// `uringd top`: a running server in the terminal, from the stream that feeds the dashboard.

import ArgumentParser
import Glibc
import UringGateway
import UringServer

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "A running server in the terminal: routes, loops, upstreams, TLS, once a second.",
        discussion: "Keys: q ends, space holds the picture and lets it go on. Where standard output is no terminal, and with --once, one picture is printed.")

    @OptionGroup var administration: AdminOption
    @Flag(help: "Print one picture and end.") var once = false

    func validate() throws {
        if administration.admin == nil { throw ValidationError("which server? Give --admin ADDR") }
    }

    func run() throws {
        guard let address = administration.admin else { throw ExitCode(64) }
        let token = try administration.token()
        do throws(AdminFailure) {
            let connection = try AdminConnection(address, "GET", "/dashboard/events", token: token, accept: "text/event-stream")
            guard connection.status == 200 else { throw AdminFailure(description: AdminOption.problem(address, connection.status, try connection.collect())) }
            var samples = Samples(connection)
            if once || isatty(1) == 0 {
                while !samples.isComplete { try samples.receive() }
                Console.out((samples.frame?.lines(width: 200, height: 10_000) ?? []).map { $0 + "\n" }.joined())
            } else {
                try Screen().show(&samples)
            }
        } catch {
            throw Failure.exit(error.description)
        }
    }
}

/// The stream's last two samples.
private struct Samples {
    let connection: AdminConnection
    private var stream = EventStream()
    private var hello: JSONValue?
    /// Of the stream so far; the texts are read when they are shown.
    private var (old, new): ([UInt8]?, [UInt8]?) = (nil, nil)
    private(set) var count = 0

    init(_ connection: AdminConnection) { self.connection = connection }

    var isComplete: Bool { old != nil }

    /// Waits for more. The first minutes come at once.
    mutating func receive() throws(AdminFailure) {
        guard let bytes = try connection.receive() else { throw AdminFailure(description: "the server has ended") }
        for event in stream.feed(bytes) {
            if event.type == "hello" {
                hello = JSONValue(answered: event.data)
            } else {
                (old, new) = (new, event.data)
                count += 1
            }
        }
        if stream.isBroken { throw AdminFailure(description: "the server sends what is no sample") }
    }

    var frame: TopFrame? {
        guard let hello, let old = old.flatMap(JSONValue.init(answered:)), let new = new.flatMap(JSONValue.init(answered:)) else { return nil }
        return TopFrame(hello: hello, from: old, to: new)
    }
}

/// The terminal, while it shows pictures: the other screen, without echo, put back at the end.
private final class Screen {
    private var before = termios()
    /// Numbers of signals, a byte each.
    private let signals: CInt
    private var isHeld = false

    init() throws(AdminFailure) {
        var ends: [CInt] = [-1, -1]
        // The kernel writes both during the call.
        guard unsafe pipe(&ends) == 0 else { throw AdminFailure(description: "no descriptors are left") }
        // Before all is set: then nothing is put back.
        guard unsafe tcgetattr(0, &before) == 0 else { throw AdminFailure(description: "standard input is no terminal: --once prints one picture") }
        signals = ends[0]
        // A resize and the end by a signal are read like keys: a thread waits for them.
        let (set, writing) = (SignalSet([SIGWINCH, SIGINT, SIGTERM, SIGHUP]), ends[1])
        Service.onThread {
            while true {
                var number = UInt8(truncatingIfNeeded: set.wait())
                // The value lives through the call. The reader's end is open as long as the process.
                _ = unsafe write(writing, &number, 1)
            }
        }
        var raw = before
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
        unsafe tcsetattr(0, TCSANOW, &raw)
        Console.out("\u{1b}[?1049h\u{1b}[?25l")
    }

    deinit {
        Console.out("\u{1b}[?25h\u{1b}[?1049l")
        unsafe tcsetattr(0, TCSANOW, &before)
    }

    func show(_ samples: inout Samples) throws(AdminFailure) {
        var shown = 0
        while true {
            if samples.isComplete, samples.count != shown, !isHeld {
                shown = samples.count
                draw(samples.frame)
            }
            var waits = [pollfd(fd: 0, events: Int16(POLLIN), revents: 0), pollfd(fd: signals, events: Int16(POLLIN), revents: 0), pollfd(fd: samples.connection.descriptor, events: Int16(POLLIN), revents: 0)]
            // The array lives through the call.
            if unsafe poll(&waits, nfds_t(waits.count), -1) < 0 { continue }
            if waits[1].revents != 0 {
                var signal: UInt8 = 0
                guard unsafe read(signals, &signal, 1) == 1, CInt(signal) == SIGWINCH else { return }
                draw(samples.frame)
            }
            if waits[0].revents != 0 {
                var key: UInt8 = 0
                guard unsafe read(0, &key, 1) == 1 else { return }
                // q, Q; the end of a transmission.
                if [0x71, 0x51, 0x04].contains(key) { return }
                if key == 0x20 { isHeld.toggle() }
            }
            if waits[2].revents != 0 { try samples.receive() }
        }
    }

    private func draw(_ frame: TopFrame?) {
        var size = winsize()
        // The value lives through the call. A terminal that does not know its size has the usual one.
        let isKnown = unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 && size.ws_row > 0
        let (width, height) = isKnown ? (Int(size.ws_col), Int(size.ws_row)) : (80, 24)
        var text = "\u{1b}[H"
        let lines = frame?.lines(width: width, height: height) ?? ["waiting for the first second"]
        // Each line is cleared before its text: behind one that is as wide as the screen the cursor still stands on its last character.
        for (index, line) in lines.enumerated() {
            let shown = line == line.uppercased() && !line.isEmpty || index == 0 ? "\u{1b}[1m\(line)\u{1b}[0m" : line
            text += "\u{1b}[K" + shown + (index + 1 < height ? "\n" : "")
        }
        Console.out(text + (lines.count < height ? "\u{1b}[J" : ""))
    }
}
