// What a peer may make the engine do for nothing. Each limit bounds memory or work that costs the client less than the server.

/// Limits on a connection beyond what the protocol itself fixes. Meeting one of the budgets ends the connection with
/// ENHANCE_YOUR_CALM; they are counted by `AbuseBudget`, where useful work pays back. Said of a server and its clients; a client
/// (`HTTP2ClientConnection`) has the same towards its server, where "request" is "response".
@frozen @usableFromInline package struct HTTP2Limits: Equatable, Sendable {
    /// A request's field list, each field counted with 32 bytes more (RFC 9113 6.5.2): 431 beyond. 32 KiB, as for HTTP/1.1.
    @usableFromInline package var headerListBytesMax = 32_768
    /// Field lines of a request: 431 beyond. 100, as for HTTP/1.1. Crumbs of a cookie count as one each until joined.
    @usableFromInline package var fieldCountMax = 100
    /// CONTINUATION frames in one header block. 32: a block of 64 KiB in frames of the least size needs 4; a flood of empty ones
    /// is cut off here (CVE-2024-27316 and its kin).
    @usableFromInline package var continuationsMax = 32

    /// Streams that came to nothing within a window: reset by the client, or by this side because the client broke a rule
    /// (CVE-2023-44487 "rapid reset", CVE-2025-8671 "MadeYouReset"); each answered request pays one back. 200: a browser that
    /// leaves a page with 100 images drops 100 at once.
    @usableFromInline package var resetsMax: UInt16 = 200
    /// SETTINGS frames within a window (CVE-2019-9515): each has to be acknowledged. 50; clients send one or two in a life.
    @usableFromInline package var settingsMax: UInt16 = 50
    /// PING frames within a window (CVE-2019-9512): each has to be answered. 200: gRPC measures its bandwidth by one per burst of data,
    /// and those are paid back by the data.
    @usableFromInline package var pingsMax: UInt16 = 200
    /// Frames within a window that carry nothing: DATA without content or end, HEADERS and CONTINUATION without a block (CVE-2019-9518). 100.
    @usableFromInline package var emptyFramesMax: UInt16 = 100
    /// WINDOW_UPDATE frames within a window that open less than `smallWindowUpdateBytes` (CVE-2019-9511 "data dribble"). 1000:
    /// some clients return every byte as they read it, and responses pay back.
    @usableFromInline package var windowUpdatesMax: UInt16 = 1000
    /// PRIORITY and PRIORITY_UPDATE frames within a window (CVE-2019-9513 "resource loop"). 500: a browser sends one or two for a request,
    /// and answered requests pay back.
    @usableFromInline package var prioritiesMax: UInt16 = 500
    /// Frames within a window that are skipped: of unknown types, and those for streams that are gone. 500.
    @usableFromInline package var strayFramesMax: UInt16 = 500
    /// Interim responses within a window, at a client: each is a field block that ends nothing. 200: servers send one or two (100, 103) with a
    /// response, which pays back four.
    @usableFromInline package var interimsMax: UInt16 = 200

    /// Bytes of answers that the client makes necessary and does not read. 4 KiB: 200 acknowledgements.
    @usableFromInline package var controlBytesMax = 4096

    /// Counts halve each time this passes: long enough to see a burst, short enough to forget it. 10 s.
    @inlinable package static var budgetWindowNanoseconds: UInt64 { 10_000_000_000 }
    /// An increment below this is one that costs more than it brings.
    @inlinable package static var smallWindowUpdateBytes: UInt32 { 1024 }
    /// Streams this side reset whose frames may still be under way, and are skipped. 128 streams, the newest: as many as are open at once
    /// by default. What comes for older ones is an error of the connection.
    @inlinable package static var recentResetsMax: Int { 128 }
    /// Streams that a client may open without an acknowledgement of our settings, before those that are refused count as abuse. 1024: what a
    /// client that knows no limit opens within a round trip.
    @inlinable package static var streamsBeforeSettingsMax: UInt32 { 1024 }
    /// PRIORITY_UPDATE frames kept for streams that have not opened (RFC 9218 7.1). 8: they come just ahead of their request.
    @inlinable package static var earlyPrioritiesMax: Int { 8 }

    @inlinable package init() {}

    /// A whole header block, compressed. Twice the list: so that a list which is too large can still be read to its end, and answered
    /// with 431, because who skips a block loses the compression state of the connection.
    @inlinable package var headerBlockBytesMax: Int { 2 * headerListBytesMax }
}
