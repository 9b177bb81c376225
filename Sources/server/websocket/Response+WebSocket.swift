// How a handler answers with a WebSocket: the handshake on HTTP/1.1 (RFC 6455 section 4.2) and HTTP/2 (RFC 8441 section 5). During the handler's call.

internal import UringHTTP
internal import UringWebSocket

extension Response {
    /// Answers with a WebSocket, on HTTP/1.1 (GET with `Upgrade: websocket`) and HTTP/2 (extended CONNECT) alike; a route for GET takes both.
    ///
    /// A request that is no good handshake is answered with what is wrong with it (400, 403 for an origin that may not connect, 426). Fields that are set
    /// behind this call are sent with the handshake; what was set before is dropped.
    /// - Returns: whether the socket will open.
    @discardableResult
    public func webSocket(_ options: WebSocketOptions = WebSocketOptions(), _ handler: @escaping WebSocketHandler) -> Bool {
        open(options) { loop, agreement, name, route in
            WebSocketSession(options, agreement.deflate, chosenProtocol: name, route: route, loop: loop, handler: handler)
        }
    }

    /// Answers with a WebSocket that an async handler has, in a task of its own on this connection's loop. Otherwise as the other `webSocket`; from async handlers, too.
    /// - Returns: whether the socket will open.
    @discardableResult
    public func webSocket(_ options: WebSocketOptions = WebSocketOptions(), _ handler: @escaping AsyncWebSocketHandler) -> Bool {
        open(options) { loop, agreement, name, route in
            let source = AsyncWebSocketSource(loop.executor, options, chosenProtocol: name, route: route, handler: handler)
            return WebSocketSession(options, agreement.deflate, chosenProtocol: name, route: route, loop: loop, source: source) { source.take($0, $1) }
        }
    }

    private func open(
        _ options: WebSocketOptions, _ makeSession: (Loop, WebSocketAgreement, _ chosenProtocol: String?, RouteName?) -> WebSocketSession
    ) -> Bool {
        // The loop keeps the request, and its own state, in place during the handler's call.
        let head = unsafe context.pointee.head
        let base = unsafe context.pointee.base
        let authority = unsafe UnsafeBufferPointer(start: base + head.pointee.authorityOffset, count: head.pointee.authorityLength)
        let allows = { (origin: UnsafeBufferPointer<UInt8>?) in unsafe options.origins.allow(origin, authority: authority) }
        let policy = options.policy
        let verdict =
            unsafe head.pointee.method == .connect
            ? WebSocketHandshake.checkConnect(
                protocolName: base + Int(head.pointee.connectProtocolOffset), protocolCount: Int(head.pointee.connectProtocolLength), head.pointee,
                fields: context.pointee.fields, bytes: base, policy: policy, allowsOrigin: allows)
            : WebSocketHandshake.check(head.pointee, fields: context.pointee.fields, bytes: base, policy: policy, allowsOrigin: allows)
        switch verdict {
        case .refused(let refusal): refuse(refusal)
        case .accepted(let agreement):
            restart(agreement.status)
            unsafe state.pointee.fields.reserve(WebSocketHandshake.fieldBytesMax(agreement))
            guard
                let written = unsafe WebSocketHandshake.writeFields(
                    agreement, bytes: base, into: state.pointee.fields.base + state.pointee.fields.count)
            else {
                refuse(.noDigest)
                return false
            }
            unsafe state.pointee.fields.count &+= written
            let name = unsafe UnsafeBufferPointer(start: base + Int(agreement.protocolOffset), count: Int(agreement.protocolCount))
            let session = unsafe context.pointee.loop._withUnsafeGuaranteedRef { loop in
                unsafe makeSession(loop, agreement, name.isEmpty ? nil : String(decoding: name, as: UTF8.self), state.pointee.routeName)
            }
            beginTunnel(session)
            return true
        }
        return false
    }

    private func refuse(_ refusal: WebSocketRefusal) {
        restart(refusal.status)
        // HTTP/2 has no Upgrade, and its encoder leaves such fields out.
        if refusal.fields.utf8CodeUnitCount > 0 {
            unsafe state.pointee.fields.append("connection: upgrade\r\n")
            unsafe state.pointee.fields.append(refusal.fields)
        }
        headers["content-type"] = "text/plain; charset=utf-8"
        unsafe state.pointee.body.append(refusal.text)
        write("\n")
    }
}
