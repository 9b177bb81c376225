// What a reload of TLS keeps: clients come back with tickets and session ids of before.

import Testing
import UringTLS

@testable import UringServer

@Suite struct TLSMaterialsTests {
    private func secret(_ loaded: LoadedListener) -> [UInt8]? {
        guard case .derived(let secret, _)? = loaded.transport.tls?.sessionTickets else { return nil }
        // Copied within the call.
        return unsafe secret.withBytes { unsafe Array($0) }
    }

    @Test func aReloadKeepsSecretAndCacheOfItsListener() throws {
        let materials = TLSMaterials()
        var listener = Listener("127.0.0.1:443", tls: .selfSigned())
        let first = try materials.load(listener)
        listener.tls?.sessionTickets.rotate = .seconds(60)
        let second = try materials.load(listener)
        let other = try materials.load(Listener("127.0.0.1:444", tls: .selfSigned()))
        #expect(secret(first) != nil && secret(first) == secret(second))
        #expect(secret(first) != secret(other))
        #expect(second.transport.tls?.sessionTickets.lifetimeSeconds == 60)
        #expect(first.transport.tls?.sessionCache === second.transport.tls?.sessionCache)
        #expect(first.transport.tls?.sessionCache !== other.transport.tls?.sessionCache)
        listener.tls?.sessionCache.lifetime = .seconds(60)
        let third = try materials.load(listener)
        #expect(third.transport.tls?.sessionCache !== first.transport.tls?.sessionCache && third.transport.tls?.sessionCache?.lifetimeSeconds == 60)
    }

    @Test func oneSelfSignedCertificateForAll() throws {
        let materials = TLSMaterials()
        #expect(materials.selfSignedFingerprints == [])
        let prints = try ["127.0.0.1:443", "unix:/x", "127.0.0.1:443"].map { try materials.load(Listener($0, tls: .selfSigned())).transport.tls?.certificates[0].fingerprint }
        #expect(Set(prints).count == 1 && prints[0]?.utf8.count == 32 * 3 - 1)
        #expect(materials.selfSignedFingerprints == [prints[0]])
        #expect(try materials.load(Listener("unix:/x", tls: .selfSigned(["b.example"]))).transport.tls?.certificates[0].fingerprint != prints[0])
    }

    @Test func whatHTTPVersionsMeanForALPN() throws {
        let expected: [(HTTP2Mode, [String], Bool)] = [(.off, ["http/1.1"], false), (.on, ["h2", "http/1.1"], false), (.only, ["h2"], true)]
        for (mode, protocols, isRequired) in expected {
            let loaded = try TLSMaterials().load(Listener("127.0.0.1:443", tls: .selfSigned(), http2: mode)).transport
            #expect(loaded.tls?.applicationProtocols == protocols && loaded.tls?.requiresApplicationProtocol == isRequired && loaded.http2 == mode)
        }
        var listener = Listener("127.0.0.1:443", tls: .selfSigned())
        listener.tls?.alpn = [.http11]
        #expect(try TLSMaterials().load(listener).transport.tls?.applicationProtocols == ["http/1.1"])
        let clear = try TLSMaterials().load("127.0.0.1:80")
        #expect(clear.transport.tls == nil && clear.warnings.isEmpty)
    }
}
