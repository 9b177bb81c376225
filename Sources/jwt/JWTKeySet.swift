// All keys that tokens may be verified with. A value: rotation makes a new set, and verifiers of it. Made when a configuration is loaded or a
// JWKS document arrives; any thread.

package struct JWTKeySet: Sendable {
    /// Each verifier makes OpenSSL objects for each key; identity providers publish two to five, and a few tenants more.
    package static let keysMax = 64

    package private(set) var keys: [JWTKey] = []

    package init() {}

    package mutating func add(_ key: JWTKey, source: String = "the keys") throws(JWTKeyError) {
        guard keys.count < JWTKeySet.keysMax else { throw JWTKeyError(source, "more than \(JWTKeySet.keysMax) keys", "leave out keys that are no longer used") }
        keys.append(key)
    }

    package mutating func add(_ other: JWTKeySet, source: String = "the keys") throws(JWTKeyError) {
        for key in other.keys { try add(key, source: source) }
    }

    /// What any of the keys can do.
    package var algorithms: JWTAlgorithms { keys.reduce(into: []) { $0.formUnion($1.algorithms) } }
}
