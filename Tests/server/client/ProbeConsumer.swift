// A consumer and a waiter of the client's callbacks that write down what they hear, for tests on a loop's thread.

import Synchronization
import UringHTTP

@testable import UringServer

/// What is heard of one exchange. The loop's thread, but for `all`.
final class ProbeConsumer: ClientConsumer, @unchecked Sendable {
    private(set) var events: [String] = []
    private(set) var bytes: [UInt8] = []
    private(set) var failure: ClientExchangeFailure?
    private(set) var rooms = 0
    /// Holds the server back at each piece.
    var pauses = false
    var isHeld = false
    /// Given to the connection that has switched.
    var tunnel: (any Tunnel)?
    private var isOver = false
    private var waiter: CheckedContinuation<Void, Never>?
    private var headWaiter: CheckedContinuation<Void, Never>?

    private func add(_ event: String) { events.append(event) }

    func interim(_ status: HTTPStatus, _ fields: RequestHeaders) { add("interim \(status.code) \(text(fields))") }
    func head(_ head: ClientResponseHead, _ fields: RequestHeaders) {
        add("head \(head.status.code) \(head.version) \(head.contentLength.map { "\($0)" } ?? "-") \(head.hasBody)")
        headWaiter?.resume()
        headWaiter = nil
    }
    func body(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        if isHeld { add("a piece in spite of the pause") }
        unsafe self.bytes.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
        isHeld = pauses
        return pauses
    }
    func ended(_ trailers: RequestHeaders) {
        add("ended \(text(trailers))")
        end()
    }
    func failed(_ failure: ClientExchangeFailure) {
        self.failure = failure
        add("failed \(HTTPClientError(failure).reason) \(failure.progress)")
        end()
    }
    func maySend() { rooms += 1 }
    func stopSending() { add("stop") }
    func upgraded(_ head: ClientResponseHead, _ fields: RequestHeaders, _ link: TunnelLink) {
        add("upgraded \(head.status.code)")
        if let tunnel { link.handOver(to: tunnel) }
        end()
    }

    private func end() {
        isOver = true
        waiter?.resume()
        waiter = nil
        headWaiter?.resume()
        headWaiter = nil
    }

    private func text(_ fields: RequestHeaders) -> String { Array(fields).filter { $0.name.lowercased() != "date" }.map { "\($0.name)=\($0.value)" }.joined(separator: ",") }

    func over() async { if !isOver { await withCheckedContinuation { waiter = $0 } } }
    func headIsThere() async { if !isOver, !events.contains(where: { $0.hasPrefix("head") }) { await withCheckedContinuation { headWaiter = $0 } } }
}

/// One who waits for a connection, by name.
final class ProbeWaiter: ClientWaiter, @unchecked Sendable {
    let name: String
    let log: EventLog
    private(set) var connection: ClientConnection?
    private(set) var error: HTTPClientError?
    private var isAnswered = false
    private var waiter: CheckedContinuation<Void, Never>?

    init(_ name: String, _ log: EventLog) { (self.name, self.log) = (name, log) }

    func granted(_ connection: ClientConnection) {
        log.add("\(name) granted")
        self.connection = connection
        answered()
    }
    func refused(_ error: HTTPClientError) {
        log.add("\(name) refused")
        self.error = error
        answered()
    }
    private func answered() {
        isAnswered = true
        waiter?.resume()
        waiter = nil
    }
    func answer() async { if !isAnswered { await withCheckedContinuation { waiter = $0 } } }
}

extension ClientConnection {
    /// Starts a request to `127.0.0.1`; nil when it could not be.
    func begin(
        _ consumer: any ClientConsumer, _ method: HTTPMethod = .get, _ target: StaticString = "/", body: BodyFraming = .none, expects: Bool = false, upgrades: Bool = false,
        fields: (inout ClientFieldWriter) -> Void = { _ in }
    ) -> ClientRequestHandle? {
        let host: StaticString = "127.0.0.1"
        var head = unsafe ClientRequestHead(
            method: RequestEncoderNames.name(method), target: UnsafeBufferPointer(start: target.utf8Start, count: target.utf8CodeUnitCount),
            authority: UnsafeBufferPointer(start: host.utf8Start, count: host.utf8CodeUnitCount), body: body)
        unsafe (head.expectsContinue, head.asksUpgrade, head.acceptsTrailers) = (expects, upgrades, !upgrades)
        guard case .started(let handle) = unsafe start(consumer, head, fields: fields) else { return nil }
        return handle
    }
}

enum RequestEncoderNames {
    static func name(_ method: HTTPMethod) -> UnsafeBufferPointer<UInt8> {
        // A literal lives as long as the program.
        unsafe UnsafeBufferPointer(start: method.name.utf8Start, count: method.name.utf8CodeUnitCount)
    }
}
