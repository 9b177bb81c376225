// RouteMeters: requests by route, counted by each loop for itself and added up when somebody asks. One object for the life of the gateway, so that
// a reload does not set counters back. `record` and `rows` run on the loop's thread; the rest on any.
//
// Counting takes no lock and no atomic: a loop's table is its own memory, and whoever wants the figures has the loop copy them between two requests.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
package import UringServer

@safe
package final class RouteMeters: Sendable {
    /// By loop; each is touched by its loop's thread only, and freed when no loop can reach this object any more.
    nonisolated(unsafe) private let tables: UnsafeMutablePointer<RouteRows>
    package let loops: Int

    package init(loops: Int) {
        self.loops = loops
        unsafe tables = .allocate(capacity: loops)
        for loop in 0..<loops { unsafe (tables + loop).initialize(to: RouteRows()) }
    }

    deinit {
        for loop in 0..<loops { unsafe tables[loop].destroy() }
        unsafe tables.deinitialize(count: loops)
        unsafe tables.deallocate()
    }

    /// Counts a finished exchange. On its loop's thread.
    package func record(_ record: ExchangeRecord) {
        guard record.loop < loops else { return }
        unsafe tables[record.loop].record(record)
    }

    /// A copy of a loop's rows. On that loop's thread.
    package func rows(loop: Int) -> [RouteRow] { loop < loops ? unsafe tables[loop].rows() : [] }
}

/// What one loop counted of one route, or the sum over loops.
package struct RouteRow: Sendable {
    /// Upper bounds of the latency buckets, ns. 0.8 s is among them because alerts ask for it.
    package static let bounds: [UInt64] = [
        100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000, 500_000_000, 800_000_000,
        1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
    ]

    /// nil: no route took the request, or too many routes have a row already.
    let name: RouteName?
    let isOther: Bool
    /// By status class, 1xx to 5xx.
    private(set) var classes = InlineArray<5, UInt64>(repeating: 0)
    /// One for each bound, and one for what is slower.
    private(set) var buckets = InlineArray<18, UInt64>(repeating: 0)
    /// By place of NativeScale.
    private(set) var nativeCounts = InlineArray<97, UInt64>(repeating: 0)
    /// Stays at its maximum instead of wrapping; so below.
    private(set) var sumNs: UInt64 = 0
    private(set) var bytes: UInt64 = 0
    /// Calls of gRPC, by `GRPC.statusNames`.
    private(set) var grpc = InlineArray<19, UInt64>(repeating: 0)

    init(_ name: RouteName?, isOther: Bool = false) { (self.name, self.isOther) = (name, isOther) }

    /// Of the label.
    package var label: String { isOther ? "other" : name.map { "\($0)" } ?? "none" }
    package var requests: UInt64 { (0..<5).reduce(0) { $0 &+ classes[$1] } }
    package var counts: [UInt64] { (0..<18).map { buckets[$0] } }
    /// Those that are not empty.
    var native: NativeBuckets {
        NativeBuckets(
            schema: NativeScale.schema,
            counts: (0..<NativeScale.places).compactMap { nativeCounts[$0] > 0 ? (NativeScale.index(place: $0), nativeCounts[$0]) : nil })
    }
    package func requests(class number: Int) -> UInt64 { classes[number - 1] }

    package var grpcCounts: [UInt64] { (0..<19).map { grpc[$0] } }

    mutating func add(_ record: ExchangeRecord) {
        if record.grpcStatus != GRPC.statusNone { grpc[min(Int(record.grpcStatus), 18)] &+= 1 }
        classes[min(max(Int(record.status) / 100, 1), 5) &- 1] &+= 1
        buckets[Self.bucket(of: record.nanoseconds)] &+= 1
        nativeCounts[NativeScale.place(nanoseconds: record.nanoseconds)] &+= 1
        sumNs = Self.sum(sumNs, record.nanoseconds)
        bytes = Self.sum(bytes, record.bytes)
    }

    mutating func merge(_ other: RouteRow) {
        for index in 0..<5 { classes[index] &+= other.classes[index] }
        for index in 0..<18 { buckets[index] &+= other.buckets[index] }
        for index in 0..<NativeScale.places { nativeCounts[index] &+= other.nativeCounts[index] }
        for index in 0..<19 { grpc[index] &+= other.grpc[index] }
        sumNs = Self.sum(sumNs, other.sumNs)
        bytes = Self.sum(bytes, other.bytes)
    }

    /// Written out: a global array would cost a check and a retain for each request. A test compares it with `bounds`.
    static func bucket(of ns: UInt64) -> Int {
        if ns <= 25_000_000 {
            if ns <= 1_000_000 { return ns <= 100_000 ? 0 : ns <= 250_000 ? 1 : ns <= 500_000 ? 2 : 3 }
            return ns <= 2_500_000 ? 4 : ns <= 5_000_000 ? 5 : ns <= 10_000_000 ? 6 : 7
        }
        if ns <= 800_000_000 { return ns <= 50_000_000 ? 8 : ns <= 100_000_000 ? 9 : ns <= 250_000_000 ? 10 : ns <= 500_000_000 ? 11 : 12 }
        return ns <= 1_000_000_000 ? 13 : ns <= 2_500_000_000 ? 14 : ns <= 5_000_000_000 ? 15 : ns <= 10_000_000_000 ? 16 : 17
    }

    private static func sum(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? .max : sum
    }
}

/// A loop's rows, found by the address of the route's name: names live as long as the process, each at its own address.
@unsafe
private struct RouteRows {
    /// Rows of routes; the requests of routes beyond are counted together. A row is 1 KiB, and some 20 lines for whoever scrapes.
    private static let rowsMax = 1024
    /// A power of two above twice the rows: a search ends after few steps.
    private static let places = 4096

    private let storage: UnsafeMutablePointer<RouteRow>
    private let addresses: UnsafeMutablePointer<UInt>
    /// Number of a row and one; 0: free.
    private let table: UnsafeMutablePointer<UInt16>
    private var count = 0
    private var other = RouteRow(nil, isOther: true)

    init() {
        unsafe storage = .allocate(capacity: Self.rowsMax)
        unsafe addresses = .allocate(capacity: Self.rowsMax)
        unsafe table = .allocate(capacity: Self.places)
        unsafe table.initialize(repeating: 0, count: Self.places)
    }

    func destroy() {
        unsafe storage.deinitialize(count: count)
        unsafe storage.deallocate()
        unsafe addresses.deallocate()
        unsafe table.deallocate()
    }

    mutating func record(_ record: ExchangeRecord) {
        let address = unsafe Self.address(record.route)
        // Fibonacci hashing: the upper bits of the product, as many as `places` has.
        var place = Int(truncatingIfNeeded: (UInt64(address) &* 0x9E37_79B9_7F4A_7C15) &>> 52)
        while unsafe table[place] != 0 {
            let row = unsafe Int(table[place]) &- 1
            if unsafe addresses[row] == address { return unsafe storage[row].add(record) }
            place = (place &+ 1) & (unsafe Self.places &- 1)
        }
        guard unsafe count < Self.rowsMax else { return unsafe other.add(record) }
        unsafe (storage + count).initialize(to: RouteRow(record.route))
        unsafe storage[count].add(record)
        unsafe addresses[count] = address
        unsafe count &+= 1
        unsafe table[place] = UInt16(count)
    }

    func rows() -> [RouteRow] {
        let rows = unsafe Array(UnsafeBufferPointer(start: storage, count: count))
        return unsafe other.requests > 0 ? rows + [other] : rows
    }

    private static func address(_ route: RouteName?) -> UInt {
        // SAFETY: only the address is taken.
        guard let route else { return 0 }
        return unsafe route.bytes.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) }
    }
}

extension [RouteRow] {
    /// Rows of several loops, by label: two names may be spelled alike, a configured one and the server's own.
    package var merged: [(label: String, row: RouteRow)] {
        var places: [String: Int] = [:]
        var merged: [(label: String, row: RouteRow)] = []
        for row in self {
            let label = row.label
            if let place = places[label] {
                merged[place].row.merge(row)
            } else {
                places[label] = merged.count
                merged.append((label, row))
            }
        }
        return merged.sorted { $0.label < $1.label }
    }
}
