// What must be true of a connection between two calls. Called by tests and fuzz targets only.

extension WebSocketConnection {
    /// The first rule that is broken, or nil.
    package func brokenInvariant() -> StaticString? {
        if control.count > ControlFrames.bytesMax { return "control output is larger than its place" }
        if progress.remaining < 0 { return "more payload than the frame has" }
        if progress.clear > progress.remaining { return "bytes beyond the frame have lost their mask" }
        if progress.clear > 0, !message.isCompressed { return "bytes were unmasked and not passed on" }
        if progress.isUnderWay, !message.isOpen { return "payload of no message" }
        if message.isOpen, message.bytes > limits.messageBytesMax { return "a message is larger than its limit" }
        if message.isOpen, message.frames > limits.fragmentsMax { return "a message has more frames than it may" }
        let holdsInflater = unsafe inflater.state != nil
        let holdsDeflater = unsafe deflater.state != nil
        if holdsInflater, !deflate.clientTakesContextOver, !(message.isOpen && message.isCompressed) { return "an inflater is held for nothing" }
        if holdsDeflater, !deflate.serverTakesContextOver, outgoing != .compressed { return "a deflater is held for nothing" }
        guard phase == .closed || phase != .open && phase != .closing else { return nil }
        if message.isOpen || outgoing != .none || holdsInflater || holdsDeflater { return "something is held after the end" }
        return nil
    }
}
