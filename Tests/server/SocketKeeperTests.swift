// SocketKeeper: sockets on their way between processes, here between the two ends of one channel.

import Glibc
import Testing
@testable import UringServer

@Suite struct SocketKeeperTests {
    /// The same open file, seen through another descriptor.
    private func isSame(_ one: Int32, _ other: Int32) -> Bool {
        var (first, second) = (stat(), stat())
        // The kernel writes both during the calls only.
        return unsafe fstat(one, &first) == 0 && fstat(other, &second) == 0 && first.st_ino == second.st_ino && first.st_dev == second.st_dev
    }

    @Test func listsArriveAsTheyWereSent() throws {
        let channel = try #require(SocketKeeper.pair())
        defer { close(channel.here); close(channel.there) }
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let others = (0..<2).map { _ in Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) }
        // More than one packet takes.
        let many = (0..<250).map { _ in dup(socket) }
        defer { for descriptor in [socket] + others + many { close(descriptor) } }
        for list in [[], [("unix:/run/a=b", [socket])], [("127.0.0.1:80", others), ("[::1]:443", many), ("unix:x", [socket])]] as [[(address: String, descriptors: [Int32])]] {
            #expect(SocketKeeper.send(list, on: channel.there))
            let told = try #require(SocketKeeper.receive(on: channel.here))
            defer { for entry in told { for descriptor in entry.descriptors { close(descriptor) } } }
            #expect(told.map(\.address) == list.map(\.address))
            #expect(told.map(\.descriptors.count) == list.map(\.descriptors.count))
            for (got, sent) in zip(told, list) {
                for (descriptor, original) in zip(got.descriptors, sent.descriptors) {
                    #expect(descriptor != original && isSame(descriptor, original))
                    // What the keeper starts gets them by name only.
                    #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
                }
            }
        }
    }

    @Test func theOthersEndIsSeen() throws {
        let channel = try #require(SocketKeeper.pair())
        close(channel.there)
        #expect(SocketKeeper.receive(on: channel.here).map(\.count) == nil)
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        #expect(!SocketKeeper.send([("unix:x", [socket])], on: channel.here))
        close(channel.here)
    }

    /// A sender that dies in the middle of its list has told nothing.
    @Test func halfAListIsNone() throws {
        let channel = try #require(SocketKeeper.pair())
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        // A whole list, and the beginning of another.
        #expect(SocketKeeper.send([("unix:x", [socket])], on: channel.there))
        let name = Array("unix:y".utf8)
        // The array lives through the call.
        #expect(unsafe send(channel.there, name, name.count, 0) == name.count)
        close(channel.there)
        let told = try #require(SocketKeeper.receive(on: channel.here))
        #expect(told.map(\.address) == ["unix:x"])
        for entry in told { for descriptor in entry.descriptors { close(descriptor) } }
        #expect(SocketKeeper.receive(on: channel.here).map(\.count) == nil)
        close(channel.here)
    }
}
