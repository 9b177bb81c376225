// The memory that a token is decoded into: the caller's, so that claims live as long as he says. The loop's thread.

/// Bytes aligned to 16, as an arena gives them; not owned. What a verification left there is valid until the memory goes or is lent to the
/// next one.
@safe package struct JWTMemory {
    /// Values in the claims. Groups and roles make up most of them; identity providers cut their lists at 200.
    package static let valuesMax = 1024
    /// Values in a header, which nobody has signed yet when it is read.
    package static let headerValuesMax = 64

    let base: UnsafeMutableRawPointer
    let capacity: Int

    package init(base: UnsafeMutableRawPointer, capacity: Int) {
        unsafe self.base = base
        self.capacity = capacity
    }

    /// What a token of so many bytes may need: some 3 KB for 500 bytes, 30 KB at the usual limit.
    package static func bytes(forTokenBytes count: Int) -> Int {
        let text = Base64URL.decodedBytes(count)
        return nodesOffset(text) + values(text, valuesMax) * MemoryLayout<JSONNode>.stride
    }

    /// Each value takes two bytes of text at least.
    private static func values(_ text: Int, _ limit: Int) -> Int { min(text / 2 + 1, limit) }
    private static func nodesOffset(_ text: Int) -> Int { (text + 7) & ~7 }

    /// Decodes `start..<end` and reads it as JSON. nil unless all of it is base64url of one strict JSON object.
    func read(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, valuesMax limit: Int) -> JWTClaims? {
        // The caller's token during this call; the memory is large enough, which `verify` has checked for the whole token.
        let room = unsafe Base64URL.decodedBytes(end - start)
        let text = unsafe base.assumingMemoryBound(to: UInt8.self)
        let (stop, count) = unsafe Base64URL.decode(start, end: end, to: text)
        guard unsafe stop == end && count > 0 else { return nil }
        let capacity = JWTMemory.values(room, limit)
        let nodes = unsafe (base + JWTMemory.nodesOffset(room)).bindMemory(to: JSONNode.self, capacity: capacity)
        guard let used = try? unsafe JSONScanner.read(text, count: count, into: nodes, capacity: capacity), unsafe nodes[0].kind == .object else { return nil }
        return unsafe JWTClaims(text: text, textBytes: count, nodes: nodes, nodeCount: used)
    }
}
