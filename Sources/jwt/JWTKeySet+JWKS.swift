// Key sets from JSON Web Key Set documents (RFC 7517, RFC 7518 section 6, RFC 8037 section 2). Called when a configuration is loaded and when a
// fetched document arrives, which may be hostile: every number in it is checked.

/// Something in a document that was passed over and that the operator should know.
package struct JWTKeyWarning: Equatable, Sendable, CustomStringConvertible {
    package let source: String
    package let reason: String

    package var description: String { "\(source): \(reason)" }
}

extension JWTKeySet {
    /// Documents of identity providers have 2 to 30 KB.
    package static let documentBytesMax = 1 << 20
    /// Values in a document; a key has about ten.
    private static let documentValuesMax = 1 << 16

    /// The usable signing keys of a document, at least one. Keys of unknown kinds, for encryption or for algorithms that are not here are passed
    /// over (RFC 7517 section 5), with a warning where it may be an error.
    /// - Parameters:
    ///   - acceptsSecrets: whether `oct` keys count. Not for documents from a URL: whoever can read it could sign.
    ///   - source: the file or URL, for messages.
    package static func jwks(
        _ document: UnsafeBufferPointer<UInt8>, acceptsSecrets: Bool, source: String, warnings: inout [JWTKeyWarning]
    ) throws(JWTKeyError) -> JWTKeySet {
        // The caller's document during this call; a copy is read, and wiped, since it may hold secrets.
        guard document.count <= documentBytesMax else {
            throw JWTKeyError(source, "a key set of \(document.count) bytes", "use at most \(documentBytesMax)")
        }
        let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(document.count, 1))
        unsafe text.initialize(repeating: 0)
        let nodes = UnsafeMutablePointer<JSONNode>.allocate(capacity: min(document.count / 2 + 1, documentValuesMax))
        defer {
            unsafe SecretMemory.wipe(text)
            unsafe text.deallocate()
            unsafe nodes.deallocate()
        }
        guard let base = text.baseAddress else { return JWTKeySet() }
        if let from = document.baseAddress { unsafe base.update(from: from, count: document.count) }
        do throws(JSONFault) {
            _ = try unsafe JSONScanner.read(base, count: document.count, into: nodes, capacity: min(document.count / 2 + 1, documentValuesMax))
        } catch {
            throw JWTKeyError(source, "the key set \(error.reason)", "give a JWKS document as the issuer publishes it")
        }
        return try unsafe read(JSONValue(text: base, nodes: nodes, index: 0), acceptsSecrets, source, &warnings)
    }

    private static func read(
        _ root: JSONValue, _ acceptsSecrets: Bool, _ source: String, _ warnings: inout [JWTKeyWarning]
    ) throws(JWTKeyError) -> JWTKeySet {
        guard let list = root.member("keys"), list.kind == .array else {
            throw JWTKeyError(source, "has no array `keys`", "give a JWKS document as the issuer publishes it")
        }
        var set = JWTKeySet()
        var next = list.first
        var number = 0
        while let value = next {
            number += 1
            let reader = JWKReader(value: value, source: "\(source): key \(number)", acceptsSecrets: acceptsSecrets)
            switch reader.key() {
            case .key(let key, let warning):
                try set.add(key, source: source)
                if let warning { warnings.append(JWTKeyWarning(source: reader.source, reason: warning)) }
            case .passedOver(let reason): if let reason { warnings.append(JWTKeyWarning(source: reader.source, reason: reason)) }
            }
            next = value.next(in: list)
        }
        guard !set.keys.isEmpty else {
            throw JWTKeyError(source, "none of its \(number) keys can verify signatures", "it needs RSA, EC or OKP keys for signing")
        }
        return set
    }
}

/// One member of `keys`.
private struct JWKReader {
    enum Outcome {
        case key(JWTKey, warning: String?)
        /// The reason, when it may be an error.
        case passedOver(String?)
    }

    let value: JSONValue
    let source: String
    let acceptsSecrets: Bool

    func key() -> Outcome {
        guard value.kind == .object, let kind = value.member("kty"), kind.kind == .string else { return .passedOver("is no JSON Web Key") }
        if let use = value.member("use"), !use.isString("sig") { return .passedOver(nil) }
        if let operations = value.member("key_ops"), !verifies(operations) { return .passedOver(nil) }
        var algorithms: JWTAlgorithms?
        if let name = value.member("alg") {
            guard name.kind == .string, let algorithm = unsafe JWTAlgorithm(bytes: name.bytes) else { return .passedOver(nil) }
            algorithms = JWTAlgorithms(algorithm)
        }
        var identifier: [UInt8]?
        if let kid = value.member("kid") {
            guard kid.kind == .string else { return .passedOver("its `kid` is no string") }
            identifier = unsafe Array(kid.bytes)
        }
        let warning = value.member("d") != nil ? "holds the private key too: publish the public one only" : nil
        do throws(JWTKeyError) {
            if kind.isString("oct") { return try secret(identifier, algorithms) }
            guard let der = spki(kind) else { return .passedOver(isKnown(kind) ? "is incomplete, or its numbers are not of the right length" : nil) }
            return .key(try JWTKey.spki(der, identifier: identifier, algorithms: algorithms, source: source), warning: warning)
        } catch {
            return .passedOver(error.reason)
        }
    }

    private func verifies(_ operations: JSONValue) -> Bool {
        var next = operations.first
        while let operation = next {
            if operation.isString("verify") { return true }
            next = operation.next(in: operations)
        }
        return false
    }

    private func isKnown(_ kind: JSONValue) -> Bool {
        if kind.isString("RSA") { return true }
        guard kind.isString("EC") || kind.isString("OKP") else { return false }
        guard let curve = value.member("crv") else { return true }
        return curve.isString("P-256") || curve.isString("P-384") || curve.isString("P-521") || curve.isString("Ed25519") || curve.isString("Ed448")
    }

    private func secret(_ identifier: [UInt8]?, _ algorithms: JWTAlgorithms?) throws(JWTKeyError) -> Outcome {
        guard acceptsSecrets else { return .passedOver("is a secret, which a published key set must not hold") }
        guard var bytes = self.bytes("k") else { return .passedOver("is incomplete") }
        defer { SecretMemory.wipe(&bytes) }
        let made = try unsafe SecretMemory.withBytes(bytes) { bytes throws(JWTKeyError) in
            try unsafe JWTKey.secret(bytes, identifier: identifier, algorithms: algorithms, source: source)
        }
        return .key(made, warning: nil)
    }

    private func spki(_ kind: JSONValue) -> [UInt8]? {
        if kind.isString("RSA") {
            guard let modulus = bytes("n"), let exponent = bytes("e"), modulus.count <= JWTKey.rsaBitsMax / 8 + 1, exponent.count <= 8 else { return nil }
            return DERWriter.rsa(modulus: modulus, exponent: exponent)
        }
        guard let curve = value.member("crv") else { return nil }
        if kind.isString("EC") {
            let curves: [(StaticString, JWTKeyKind)] = [("P-256", .p256), ("P-384", .p384), ("P-521", .p521)]
            guard let (_, found) = curves.first(where: { curve.isString($0.0) }), let x = bytes("x"), let y = bytes("y") else { return nil }
            // RFC 7518 6.2.1.2: the full length, leading zeros too.
            guard x.count == found.coordinateBytes, y.count == found.coordinateBytes else { return nil }
            return DERWriter.ec(found, x: x, y: y)
        }
        guard kind.isString("OKP"), let x = bytes("x") else { return nil }
        if curve.isString("Ed25519"), x.count == 32 { return DERWriter.edwards(.ed25519, x) }
        if curve.isString("Ed448"), x.count == 57 { return DERWriter.edwards(.ed448, x) }
        return nil
    }

    private func bytes(_ name: StaticString) -> [UInt8]? {
        guard let member = value.member(name), member.kind == .string, let bytes = unsafe Base64URL.decode(member.bytes), !bytes.isEmpty else { return nil }
        return bytes
    }
}
