// Client and server engine of HTTP/2, and the bytes between them: what bench/http2 measures, and bench/layers.

import Glibc
import UringHTTP
import UringHTTP2

struct Workload {
    var name: String
    /// Exchanges in a batch, all open at once.
    var streams: Int
    var isRPC: Bool
}

let requestFields: StaticString = "user-agent: bench/1.0\r\naccept: */*\r\nx-request-id: 5f0c7a3e-9d1b-4c1e-8f6a-2b7d9e4c1a00\r\n"
let rpcFields: StaticString = "user-agent: bench/1.0\r\ncontent-type: application/grpc\r\nte: trailers\r\ngrpc-timeout: 1S\r\n"
let responseFields: StaticString = "content-type: application/json\r\nserver: bench\r\n"
let rpcResponseFields: StaticString = "content-type: application/grpc\r\n"
let trailerFields: StaticString = "grpc-status: 0\r\n"
let date: StaticString = "Mon, 21 Oct 2013 20:13:21 GMT"
let body: StaticString = #"{"status":"ok"}"#

func lines(_ text: StaticString) -> HTTP2FieldText { HTTP2FieldText(text.utf8Start, count: text.utf8CodeUnitCount) }
func text(_ text: StaticString) -> UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount) }

/// Both engines and the bytes between them. Everything is allocated once.
final class World {
    static let capacity = 1 << 20
    let client = UnsafeMutablePointer<HTTP2ClientConnection>.allocate(capacity: 1)
    let server = UnsafeMutablePointer<HTTP2Connection>.allocate(capacity: 1)
    let toServer = UnsafeMutablePointer<UInt8>.allocate(capacity: World.capacity)
    let toClient = UnsafeMutablePointer<UInt8>.allocate(capacity: World.capacity)
    var toServerCount = 0
    var toClientCount = 0
    let requestHead: HTTP2Head
    let responseHead: HTTP2ResponseHead
    let workload: Workload
    /// Responses read to their end, and bytes of their bodies.
    var finished = 0
    var received = 0

    init(_ workload: Workload) {
        self.workload = workload
        let limits = HTTP2Limits()
        let request = UnsafeMutablePointer<RequestHead>.allocate(capacity: 1)
        let slots = HTTP2Head.slots(limits: limits)
        let textBytes = HTTP2Head.textBytes(limits: limits)
        requestHead = HTTP2Head(request: request, slots: .allocate(capacity: slots), slotCapacity: slots, text: .allocate(capacity: textBytes), textCapacity: textBytes)
        let response = UnsafeMutablePointer<HTTP2Response>.allocate(capacity: 1)
        responseHead = HTTP2ResponseHead(
            response: response, slots: .allocate(capacity: slots), slotCapacity: slots, text: .allocate(capacity: textBytes), textCapacity: textBytes)
        client.initialize(to: HTTP2ClientConnection(settings: HTTP2ClientSettings(), limits: limits, now: 1))
        server.initialize(to: HTTP2Connection(settings: HTTP2LocalSettings(), limits: limits, now: 1))
        takeControlOfBoth()
    }
    deinit {
        client.deinitialize(count: 1)
        server.deinitialize(count: 1)
    }

    private func takeControlOfBoth() {
        toServerCount += client.pointee.takeControl(into: toServer + toServerCount, capacity: World.capacity - toServerCount)
        toClientCount += server.pointee.takeControl(into: toClient + toClientCount, capacity: World.capacity - toClientCount)
    }

    func sendRequests() {
        var request = HTTP2Request(
            method: text(workload.isRPC ? "POST" : "GET"), isSecure: true, authority: text("api.example.com"),
            path: text(workload.isRPC ? "/orders.v1.Orders/Get" : "/v1/orders/42"))
        request.priority.incremental = true
        for _ in 0..<workload.streams {
            let out = toServer + toServerCount
            let outcome = client.pointee.open(
                request, contentLength: nil, first: nil, second: lines(workload.isRPC ? rpcFields : requestFields), endStream: !workload.isRPC, now: 1, into: out,
                capacity: World.capacity - toServerCount)
            guard case .opened(let slot, let bytes) = outcome else { fatalError("\(outcome)") }
            toServerCount += bytes
            guard workload.isRPC else { continue }
            toServerCount += client.pointee.writeDataHeader(slot, count: body.utf8CodeUnitCount, endStream: true, into: out + bytes)
            (toServer + toServerCount).update(from: body.utf8Start, count: body.utf8CodeUnitCount)
            toServerCount += body.utf8CodeUnitCount
        }
    }

    func serve() {
        var at = 0
        while true {
            let step = server.pointee.next(toServer + at, count: toServerCount - at, now: 1, head: requestHead)
            at += step.used
            switch step.event {
            case .needMore:
                toServerCount = 0
                if server.pointee.controlCount > 0 { takeControlOfBoth() }
                return
            case .request(let slot, let end): if end { answer(slot) }
            case .data(let slot, _, let count, let end):
                server.pointee.consumed(slot, Int(count))
                if end { answer(slot) }
            case .failed(let code): fatalError("the server fails: \(code)")
            default: break
            }
        }
    }

    private func answer(_ slot: StreamSlot) {
        toClientCount += server.pointee.writeHead(
            slot, status: .ok, date: date.utf8Start, contentLength: workload.isRPC ? nil : 15, first: nil,
            second: lines(workload.isRPC ? rpcResponseFields : responseFields), endStream: false, into: toClient + toClientCount, capacity: World.capacity - toClientCount)
        toClientCount += server.pointee.writeDataHeader(slot, count: body.utf8CodeUnitCount, endStream: !workload.isRPC, into: toClient + toClientCount)
        (toClient + toClientCount).update(from: body.utf8Start, count: body.utf8CodeUnitCount)
        toClientCount += body.utf8CodeUnitCount
        guard workload.isRPC else { return }
        toClientCount += server.pointee.writeTrailers(slot, lines(trailerFields), into: toClient + toClientCount, capacity: World.capacity - toClientCount)
    }

    func readResponses() {
        var at = 0
        while true {
            let step = client.pointee.next(toClient + at, count: toClientCount - at, now: 1, head: responseHead)
            at += step.used
            switch step.event {
            case .needMore:
                toClientCount = 0
                if client.pointee.controlCount > 0 { takeControlOfBoth() }
                return
            case .data(let slot, _, let count, let end):
                client.pointee.consumed(slot, Int(count))
                received += Int(count)
                if end { finished += 1 }
            case .trailers: finished += 1
            case .failed(let code): fatalError("the client fails: \(code)")
            case .ended(_, let end): fatalError("a stream ends: \(end)")
            default: break
            }
        }
    }
}
