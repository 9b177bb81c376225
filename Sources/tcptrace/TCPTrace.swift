// TCPTrace: what the TCP tracer has counted, by port. Plain values; any thread.

internal import UringBase

package struct TCPTrace: Sendable, Equatable {
    /// Which end of its connections the cgroup has.
    package enum Side: String, Sendable {
        /// It listens on the port.
        case server
        /// It connects to the port.
        case client
    }

    /// Connections that share a server's port.
    package struct Port: Sendable, Equatable {
        package let side: Side
        package let number: UInt16
        /// SYN that were sent, or received and answered.
        package var begun: UInt64 = 0
        package var established: UInt64 = 0
        /// Ends of connections, whoever began them.
        package var closed: UInt64 = 0
        /// SYN that came to nothing.
        package var failed: UInt64 = 0
        /// Segments that were sent again.
        package var retransmits: UInt64 = 0
        /// Smoothed round trips, one for each that the kernel measured, by bucket of `RoundTripScale`.
        package var roundTrips = [UInt64](repeating: 0, count: RoundTripScale.buckets)

        package init(_ side: Side, _ number: UInt16) { (self.side, self.number) = (side, number) }

        package var samples: UInt64 { roundTrips.reduce(0, &+) }

        /// The lower bound of the bucket that a share of the samples does not exceed, ns; nil without samples.
        package func roundTrip(permille: UInt64) -> UInt64? {
            let all = samples
            guard all > 0 else { return nil }
            let product = all.multipliedFullWidth(by: min(permille, 1000))
            let (quotient, remainder) = UInt64(1000).dividingFullWidth(product)
            var left = max(1, quotient + (remainder == 0 ? 0 : 1))
            for (bucket, count) in roundTrips.enumerated() {
                if left <= count { return RoundTripScale.lowerBound(bucket) }
                left -= count
            }
            return RoundTripScale.lowerBound(RoundTripScale.buckets - 1)
        }

        /// What was counted since `earlier`.
        package func since(_ earlier: Port?) -> Port {
            guard let earlier else { return self }
            var port = self
            func less(_ now: UInt64, _ before: UInt64) -> UInt64 { now > before ? now - before : 0 }
            port.begun = less(begun, earlier.begun)
            port.established = less(established, earlier.established)
            port.closed = less(closed, earlier.closed)
            port.failed = less(failed, earlier.failed)
            port.retransmits = less(retransmits, earlier.retransmits)
            for bucket in roundTrips.indices { port.roundTrips[bucket] = less(roundTrips[bucket], earlier.roundTrips[bucket]) }
            return port
        }
    }

    /// Listening ones first, ascending.
    package var ports: [Port] = []
    /// Counts that found no room.
    package var lost: UInt64 = 0

    package init() {}

    package subscript(side: Side, number: UInt16) -> Port? { ports.first { $0.side == side && $0.number == number } }

    /// The slots behind the round trips', as tcptrace.bpf.c has them.
    private enum Slot: UInt32 {
        case begun = 256
        case established, closed, retransmits, failed
    }

    /// - Parameter key: side << 31 | port << 9 | slot.
    mutating func add(key: UInt32, _ value: UInt64) {
        let side: Side = key >> 31 == 0 ? .server : .client
        let number = UInt16(truncatingIfNeeded: key >> 9)
        let place: Int
        if let known = ports.firstIndex(where: { $0.side == side && $0.number == number }) {
            place = known
        } else {
            place = ports.count
            ports.append(Port(side, number))
        }
        let slot = key & 511
        if slot < UInt32(RoundTripScale.buckets) {
            ports[place].roundTrips[Int(slot)] &+= value
            return
        }
        switch Slot(rawValue: slot) {
        case .begun: ports[place].begun &+= value
        case .established: ports[place].established &+= value
        case .closed: ports[place].closed &+= value
        case .retransmits: ports[place].retransmits &+= value
        case .failed: ports[place].failed &+= value
        case nil: break
        }
    }

    mutating func sort() { ports.sort { ($0.side == .client ? 1 : 0, $0.number) < ($1.side == .client ? 1 : 0, $1.number) } }

    /// Those with the most connections and round trips, at most `count`, in their order; the others added up as port 0 of their side.
    /// - Parameter own: ports that are listened on and come before all others, however little happens there.
    package func busiest(_ count: Int, own: Set<UInt16> = []) -> [Port] {
        guard ports.count > count else { return ports }
        func rank(_ port: Port) -> UInt64 { port.side == .server && own.contains(port.number) ? .max : port.begun &+ port.samples }
        let ranked = ports.indices.sorted { (rank(ports[$0]), $1) > (rank(ports[$1]), $0) }
        let kept = Set(ranked.prefix(count))
        var rest = [Port(.server, 0), Port(.client, 0)]
        for index in ports.indices where !kept.contains(index) {
            let place = ports[index].side == .server ? 0 : 1
            rest[place].begun &+= ports[index].begun
            rest[place].established &+= ports[index].established
            rest[place].closed &+= ports[index].closed
            rest[place].failed &+= ports[index].failed
            rest[place].retransmits &+= ports[index].retransmits
            for bucket in rest[place].roundTrips.indices { rest[place].roundTrips[bucket] &+= ports[index].roundTrips[bucket] }
        }
        return ports.indices.filter { kept.contains($0) }.map { ports[$0] } + rest.filter { $0.begun > 0 || $0.closed > 0 || $0.samples > 0 }
    }
}
