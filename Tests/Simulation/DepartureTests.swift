// Peers that leave: in the middle of a handshake, of a record, of a request, of responses; with an end of input, with a reset, or with both. Whoever
// can still read gets what can still be sent; of everybody else nothing stays.

import Testing
import UringHTTP
import UringServer
import UringSimulation

@Suite struct DepartureTests {
    /// How a peer leaves.
    enum Way: CaseIterable { case halfClose, close, reset, closeNotify, halfCloseThenReset }

    /// No timeout of the server is as short as this: whoever is gone by then went because he left.
    private let promptMs = 1000

    private func leave(_ wire: ClientWire, _ way: Way) {
        switch way {
        case .halfClose: wire.client.run([.halfClose])
        case .close: wire.client.run([.close])
        case .reset: wire.client.run([.reset])
        case .closeNotify: wire.endPolitely()
        case .halfCloseThenReset: wire.client.run([.halfClose, .wait(5_000_000), .reset])
        }
    }

    // MARK: HTTP/2

    /// 50 streams of more than the windows hold, and the peer leaves.
    @Test(arguments: [false, true], Way.allCases) func blockedStreams(_ isSecure: Bool, _ way: Way) {
        for path in ["/bytes/100000", "/file/7", "/shared", "/stream/100000"] {
            let scene = Scene(isSecure: isSecure)
            let peer = ScenePeer(scene, tls: isSecure ? ClientTLSOptions(protocols: ["h2"]) : nil)
            peer.isMute = true
            let streams = (0..<50).map { _ in peer.request(path) }
            scene.wait(seconds: 1)
            leave(peer.wire, way)
            let milliseconds = scene.millisecondsUntilForgotten()
            #expect(milliseconds < promptMs, "\(path): \(milliseconds) ms")
            _ = streams
            #expect(scene.end() == [])
        }
    }
}
