// The flight recorder's writing side: a few stores for each event, into memory of the loop's own. The loop's thread.
//
// The time of an event is the tick counter as it was read last, at the end of a handler or at the beginning of the turn: the recorder reads no clock of its own.

internal import CUringBase
internal import UringBase
internal import UringRing

extension Loop {
    /// Shorter turns are not told one by one.
    private static var longTurnNs: UInt64 { 1_000_000 }

    @inline(__always)
    func note(_ kind: FlightEvent.Kind, connection: UInt64 = 0, small: UInt8 = 0, value: UInt64 = 0, detail: UInt64 = 0) {
        guard let flight = unsafe flight else { return }
        unsafe ur_flight_write(
            flight, state.pointee.lastTicks, UInt64(kind.rawValue) << 56 | UInt64(small) << 48 | connection & FlightWords.connectionMask, value, detail)
    }

    /// A response is complete.
    @inline(__always)
    func noteRequest(_ connection: UInt64, _ record: ExchangeRecord) {
        note(.request, connection: connection, value: record.nanoseconds, detail: UInt64(record.status) << 48 | (record.route?.address ?? 0))
    }

    /// A handler has returned; what it answers is not complete.
    @inline(never)
    func noteBegun(_ connection: UnsafeMutablePointer<Connection>, _ elapsed: UInt64) {
        unsafe note(.begun, connection: connection.pointee.id, value: kernel.nanoseconds(ticks: elapsed), detail: response.pointee.routeName?.address ?? 0)
    }

    @inline(__always)
    func noteTurn(_ ready: UInt32, _ handled: UInt64, _ lagNs: UInt64) {
        if lagNs > Self.longTurnNs { note(.turn, value: lagNs, detail: FlightWords.pair(UInt64(ready), handled)) }
    }

    /// The layers of a turn that was looked at.
    @inline(never)
    func noteLayers() {
        guard unsafe flight != nil else { return }
        let turn = unsafe meter.pointee.phases.lastTurn(kernel.nanoseconds)
        func layer(_ phase: LoopPhase) -> UInt64 { turn.layers[Int(phase.rawValue)] }
        note(.layers, small: 0, value: FlightWords.pair(layer(.kernel), layer(.dispatch)), detail: FlightWords.pair(layer(.handshake), layer(.decrypt)))
        note(.layers, small: 1, value: FlightWords.pair(layer(.parse), layer(.handler)), detail: FlightWords.pair(layer(.serialise), layer(.encrypt)))
        note(.layers, small: 2, value: FlightWords.pair(layer(.send), turn.requests), detail: 0)
    }
}
