// What a reload keeps, adds and removes.

import Testing
import UringRing
@testable import UringServer

@Suite struct ListenerChangeTests {
    private func open(_ address: String, _ descriptor: Int32) throws -> OpenListener {
        OpenListener(loaded: LoadedListener(listener: Listener(address)), address: try SocketAddress.parse(address).get(), descriptors: [descriptor])
    }

    private func wanted(_ addresses: String...) -> [LoadedListener] { addresses.map { LoadedListener(listener: Listener($0)) } }

    @Test func keptAddedRemoved() throws {
        let now = [try open("127.0.0.1:1", 10), try open("127.0.0.1:2", 11), try open("unix:/a", 12)]
        let change = ListenerChange(from: now, to: wanted("unix:/a", "127.0.0.1:3", "127.0.0.1:1"))
        #expect(change.kept.map(\.descriptors) == [[12], [10]])
        #expect(change.added.map(\.listener.address) == ["127.0.0.1:3"])
        #expect(change.removed.map(\.descriptors) == [[11]])
    }

    /// Port 0 may be wanted several times: each keeps one socket.
    @Test func equalAddressesAreCounted() throws {
        let now = [try open("127.0.0.1:0", 10), try open("127.0.0.1:0", 11)]
        let change = ListenerChange(from: now, to: wanted("127.0.0.1:0"))
        #expect(change.kept.count == 1 && change.removed.count == 1 && change.added.isEmpty)
        #expect(ListenerChange(from: now, to: wanted("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0")).added.count == 1)
    }

    /// Options of an address that stays do not cost it its socket, and the clients that are queued in it.
    @Test func changedOptionsKeepTheSocket() throws {
        var other = LoadedListener(listener: "127.0.0.1:1")
        other.listener.backlog = 5
        #expect(ListenerChange(from: [try open("127.0.0.1:1", 10)], to: [other]).kept.count == 1)
    }
}
