// SocketKeeper: how a server's listening sockets get to a process that outlives it, and back to the next: a unix socket of packets, each with one address and its descriptors; an empty packet behind the
// last says that the list is whole. Both ends; any thread, one at a time.

internal import CUringBase
internal import Glibc

package enum SocketKeeper {
    /// Descriptors in one packet; an address with more has several packets.
    private static let descriptorsMax = 100
    private static let addressBytesMax = 4096

    /// Two ends, closed on exec. nil: no descriptors are left.
    package static func pair() -> (here: Int32, there: Int32)? {
        var ends: [Int32] = [-1, -1]
        // The array lives through the call.
        return unsafe ur_packet_pair(&ends) == 0 ? (ends[0], ends[1]) : nil
    }

    /// Tells the other end all sockets. They stay the caller's too.
    /// - Returns: false when the other end is gone.
    package static func send(_ sockets: [(address: String, descriptors: [Int32])], on channel: Int32) -> Bool {
        for socket in sockets {
            let address = Array(socket.address.utf8)
            var start = 0
            while start < socket.descriptors.count {
                let part = Array(socket.descriptors[start..<min(start + descriptorsMax, socket.descriptors.count)])
                // The arrays live through the call.
                guard unsafe ur_send_descriptors(channel, address, address.count, part, part.count) == address.count else { return false }
                start += part.count
            }
        }
        var end: UInt8 = 0
        return unsafe ur_send_descriptors(channel, &end, 1, nil, 0) == 1
    }

    /// Waits for a whole list. The descriptors are the caller's.
    /// - Returns: nil when the other end is gone.
    package static func receive(on channel: Int32) -> [(address: String, descriptors: [Int32])]? {
        var found: [(address: String, descriptors: [Int32])] = []
        var bytes = [UInt8](repeating: 0, count: addressBytesMax)
        var descriptors = [Int32](repeating: -1, count: descriptorsMax)
        while true {
            var count = descriptors.count
            // The arrays live through the call.
            let length = unsafe ur_receive_descriptors(channel, &bytes, bytes.count, &descriptors, &count)
            guard length > 0 else {
                for socket in found { for descriptor in socket.descriptors { close(descriptor) } }
                return nil
            }
            if length == 1, bytes[0] == 0 { return found }
            let address = String(decoding: bytes[..<length], as: UTF8.self)
            if let last = found.last, last.address == address {
                found[found.count - 1].descriptors += descriptors[..<count]
            } else {
                found.append((address, Array(descriptors[..<count])))
            }
        }
    }
}
