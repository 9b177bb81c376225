// TraceLedger: what every simulated server is traced by: whatever goes wrong in a world, hooks are called in order, and each beginning has its end. The world's one thread.

import UringServer

final class TraceLedger: @unchecked Sendable {
    private struct Open {
        var handlerRuns = false
        var hasHead = false
    }
    private struct Client {
        var requests: [UInt32: Open] = [:]
        /// Of those that are over.
        var lastSent: UInt32 = 0
        var inHandshake = false
    }
    private var clients: [UInt64: Client] = [:]
    private(set) var problems: [String] = []
    /// Requests whose response was sent, and those that had none to the end.
    private(set) var sent = 0
    private(set) var aborted = 0

    /// Connections that were never closed, in words.
    var leftOver: [String] { clients.isEmpty ? [] : ["\(clients.count) connections were traced and never closed"] }

    private func wrong(_ text: String) { if problems.count < 10 { problems.append("trace: \(text)") } }

    private func change(_ connection: TracedConnection, _ what: String, _ body: (inout Client) -> Void) {
        guard var client = clients.removeValue(forKey: connection.id) else { return wrong("\(what) of a connection that is not open") }
        body(&client)
        clients[connection.id] = client
    }

    private func change(_ request: TracedRequest, _ what: String, _ body: (inout Open) -> Void) {
        change(request.connection, what) { client in
            guard var open = client.requests[request.number] else { return wrong("\(what) of request \(request.number), which is not open") }
            body(&open)
            client.requests[request.number] = open
        }
    }

    private func end(_ request: TracedRequest, _ what: String, _ check: (Open) -> Bool) {
        change(request.connection, what) { client in
            guard let open = client.requests.removeValue(forKey: request.number) else { return wrong("\(what) of request \(request.number), which is not open") }
            if open.handlerRuns || !check(open) { wrong("request \(request.number) is \(what) as \(open)") }
            guard !request.isHTTP2 else { return }
            if request.number <= client.lastSent { wrong("request \(request.number) is \(what) behind \(client.lastSent)") }
            client.lastSent = request.number
        }
    }

    private func begin(_ request: TracedRequest, _ what: String, mayBeOpen: Bool) {
        change(request.connection, what) { client in
            if client.inHandshake { wrong("\(what) within a handshake") }
            if client.requests[request.number] != nil {
                if !mayBeOpen { wrong("request \(request.number) is \(what) twice") }
            } else {
                client.requests[request.number] = Open()
            }
        }
    }

    var trace: ServerTrace {
        var trace = ServerTrace()
        trace.connectionAccepted = { if self.clients.updateValue(Client(), forKey: $0.id) != nil { self.wrong("accepted twice") } }
        trace.handshakeBegan = { self.change($0, "handshake") { $0.inHandshake = true } }
        trace.handshakeFlight = { self.change($0, "flight") { if !$0.inHandshake { self.wrong("a flight of no handshake") } } }
        trace.handshakeEnded = { connection, _ in
            self.change(connection, "end of a handshake") { client in
                if !client.inHandshake { self.wrong("a handshake ended twice") }
                client.inHandshake = false
            }
        }
        trace.requestParsed = { request, _, _ in self.begin(request, "parsed", mayBeOpen: false) }
        trace.requestRefused = { request, _ in
            self.begin(request, "refused", mayBeOpen: true)
            self.change(request, "refused") { if $0.handlerRuns || $0.hasHead { self.wrong("refused behind \($0)") } }
        }
        trace.handlerBegan = { request, _ in
            self.change(request, "handler") { open in
                if open.handlerRuns || open.hasHead { self.wrong("a handler behind \(open)") }
                open.handlerRuns = true
            }
        }
        trace.routeChosen = { request, _ in self.change(request, "route") { if !$0.handlerRuns { self.wrong("a route without a handler") } } }
        trace.handlerEnded = { request, _ in
            self.change(request, "end of a handler") { open in
                if !open.handlerRuns { self.wrong("a handler ended twice") }
                open.handlerRuns = false
            }
        }
        trace.responseBegan = { request, _ in
            self.change(request, "head") { open in
                if open.hasHead { self.wrong("a second head") }
                open.hasHead = true
            }
        }
        trace.responseSent = { request in
            self.end(request, "sent") { $0.hasHead }
            self.sent += 1
        }
        trace.responseAborted = { request, _ in
            self.end(request, "aborted") { _ in true }
            self.aborted += 1
        }
        trace.connectionClosed = { connection, _ in
            guard let client = self.clients.removeValue(forKey: connection.id) else { return self.wrong("closed twice") }
            if !client.requests.isEmpty || client.inHandshake { self.wrong("closed with \(client.requests) open") }
        }
        return trace
    }
}
