// The claims of an accepted token, seen where they were decoded. The loop's thread.

/// Views of `JWTMemory`, valid as long as that is. No String and no Dictionary: names and values are compared as bytes.
@safe package struct JWTClaims {
    private let text: UnsafeMutablePointer<UInt8>
    private let textBytes: Int
    private let nodes: UnsafeMutablePointer<JSONNode>
    private let nodeCount: Int
    /// Where the registered claims are (RFC 7519 4.1); 0, which is the whole, for those that are not there.
    private(set) var places = Places()

    struct Places {
        var issuer: Int32 = 0
        var subject: Int32 = 0
        var audience: Int32 = 0
        var expires: Int32 = 0
        var notBefore: Int32 = 0
        var issuedAt: Int32 = 0
        var scope: Int32 = 0
    }

    init(text: UnsafeMutablePointer<UInt8>, textBytes: Int, nodes: UnsafeMutablePointer<JSONNode>, nodeCount: Int) {
        unsafe (self.text, self.nodes) = unsafe (text, nodes)
        (self.textBytes, self.nodeCount) = (textBytes, nodeCount)
    }

    /// All claims, as an object.
    package var all: JSONValue { value(0) }

    package var issuer: JSONValue? { registered(places.issuer) }
    package var subject: JSONValue? { registered(places.subject) }
    package var audience: JSONValue? { registered(places.audience) }
    package var expires: JSONValue? { registered(places.expires) }
    package var notBefore: JSONValue? { registered(places.notBefore) }
    package var issuedAt: JSONValue? { registered(places.issuedAt) }
    /// `scope` (RFC 8693 4.2), or `scp`, which some issuers have in its place.
    package var scope: JSONValue? { registered(places.scope) }

    /// A claim by its name; see `JSONValue.value(at:)` for claims within claims.
    package func claim(_ name: StaticString) -> JSONValue? { all.member(name) }
    package func claim(at path: UnsafeBufferPointer<UInt8>) -> JSONValue? { unsafe all.value(at: path) }

    private func registered(_ place: Int32) -> JSONValue? { place == 0 ? nil : value(Int(place)) }
    private func value(_ index: Int) -> JSONValue { unsafe JSONValue(text: text, nodes: nodes, index: index) }

    // MARK: keeping

    /// What a copy takes: for claims that outlive the memory they were decoded into.
    package var copyBytes: Int { (textBytes + 7) & ~7 + nodeCount * MemoryLayout<JSONNode>.stride }

    /// The same claims in other memory: `copyBytes`, aligned to 8, the caller's.
    package func copy(to memory: UnsafeMutableRawPointer) -> JWTClaims {
        // Both hold offsets only, so they can be moved as they are.
        let newText = unsafe memory.bindMemory(to: UInt8.self, capacity: textBytes)
        let newNodes = unsafe (memory + (textBytes + 7) & ~7).bindMemory(to: JSONNode.self, capacity: nodeCount)
        unsafe newText.update(from: text, count: textBytes)
        unsafe newNodes.update(from: nodes, count: nodeCount)
        var copy = unsafe JWTClaims(text: newText, textBytes: textBytes, nodes: newNodes, nodeCount: nodeCount)
        copy.places = places
        return copy
    }

    // MARK: finding

    /// One walk over the members, instead of one for each claim.
    mutating func findRegistered() {
        var at = 1
        var sawScope = false
        while at < nodeCount {
            // Within the table: nodes follow each other without gaps.
            let node = unsafe nodes[at]
            let name = unsafe text + Int(node.nameOffset)
            let place = Int32(truncatingIfNeeded: at)
            if node.nameCount == 3 {
                switch unsafe (name[0], name[1], name[2]) {
                case (0x69, 0x73, 0x73): places.issuer = place
                case (0x73, 0x75, 0x62): places.subject = place
                case (0x61, 0x75, 0x64): places.audience = place
                case (0x65, 0x78, 0x70): places.expires = place
                case (0x6e, 0x62, 0x66): places.notBefore = place
                case (0x69, 0x61, 0x74): places.issuedAt = place
                case (0x73, 0x63, 0x70): if !sawScope { places.scope = place }
                default: break
                }
            } else if unsafe node.nameCount == 5 && name[0] == 0x73 && name[1] == 0x63 && name[2] == 0x6f && name[3] == 0x70 && name[4] == 0x65 {
                places.scope = place
                sawScope = true
            }
            at = Int(node.end)
        }
    }
}

/// How a verification ends.
package enum JWTVerdict {
    case accepted(JWTClaims)
    case refused(JWTRefusal)

    package var refusal: JWTRefusal? { if case .refused(let refusal) = self { refusal } else { nil } }
    package var claims: JWTClaims? { if case .accepted(let claims) = self { claims } else { nil } }
}
