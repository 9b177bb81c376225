// WebSocketHandle: how the rest of a program speaks to an open WebSocket. Any thread.

internal import UringBase

/// Names a WebSocket. Kept as long as one likes, used from any thread; when the socket has closed it does nothing.
///
/// What is sent this way is posted to the socket's own loop and leaves from there, in the order in which one thread posts it. There is no answer: a slow
/// client is dealt with as its `WebSocketOptions` say.
public struct WebSocketHandle: Sendable, Hashable {
    let exchange: ExchangeHandle

    /// Whether both name the same socket.
    public static func == (a: WebSocketHandle, b: WebSocketHandle) -> Bool {
        a.exchange.port === b.exchange.port && a.exchange.id == b.exchange.id && a.exchange.connection == b.exchange.connection
            && a.exchange.request == b.exchange.request
    }

    /// By the socket's name.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(exchange.id)
        hasher.combine(exchange.connection.index)
        hasher.combine(exchange.request)
    }

    /// Sends text.
    public func send(_ text: String) { post(.message(.text, Array(text.utf8))) }
    /// Sends bytes. With `.text` they must be UTF-8; nobody looks.
    public func send(_ bytes: [UInt8], as kind: WebSocket.Kind = .binary) { post(.message(kind, bytes)) }
    /// Says Close, as `WebSocket.close`.
    public func close(_ code: WebSocket.CloseCode = .normal, reason: String = "") { post(.close(code, reason)) }

    /// Sends text to many sockets. One message goes to each loop, however many sockets it has.
    public static func send(_ text: String, to sockets: some Sequence<WebSocketHandle>) { post(.message(.text, Array(text.utf8)), to: sockets) }
    /// Sends bytes to many sockets.
    public static func send(_ bytes: [UInt8], as kind: WebSocket.Kind = .binary, to sockets: some Sequence<WebSocketHandle>) {
        post(.message(kind, bytes), to: sockets)
    }

    private func post(_ content: WebSocketOrder.Content) { exchange.port.post(.tunnel([exchange], WebSocketOrder(content))) }

    private static func post(_ content: WebSocketOrder.Content, to sockets: some Sequence<WebSocketHandle>) {
        // Loops are few: looked for one by one.
        var groups: [(port: LoopPort, handles: [ExchangeHandle])] = []
        for socket in sockets {
            if let index = groups.firstIndex(where: { $0.port === socket.exchange.port }) {
                groups[index].handles.append(socket.exchange)
            } else {
                groups.append((socket.exchange.port, [socket.exchange]))
            }
        }
        let order = WebSocketOrder(content)
        for group in groups { group.port.post(.tunnel(group.handles, order)) }
    }
}

/// What a handle asks of its socket.
final class WebSocketOrder: TunnelOrder {
    enum Content: Sendable {
        case message(WebSocket.Kind, [UInt8])
        case close(WebSocket.CloseCode, String)
    }
    let content: Content
    init(_ content: Content) { self.content = content }
}
