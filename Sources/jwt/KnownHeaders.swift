// Headers of tokens whose signature was good, with the key that it was good for. Owned by a verifier; the loop's thread.
//
// The header says nothing but which key to use, and tokens of one issuer share it byte for byte: finding it here saves decoding and reading
// it. Only who can sign gets a header in, so nobody can fill this with his own.

@safe struct KnownHeaders: ~Copyable {
    /// Issuers, and their old and new key, of one route.
    private static let placesMax = 4
    /// Longer ones carry certificates and are read each time.
    private static let bytesMax = 256

    private struct Place {
        var count: Int32 = 0
        var key: Int32 = -1
    }

    // Owned: the text of place i begins at i * bytesMax. Freed in deinit.
    private let texts: UnsafeMutablePointer<UInt8>
    private var places = InlineArray<4, Place>(repeating: Place())
    private var next = 0

    init() {
        unsafe texts = .allocate(capacity: Self.placesMax * Self.bytesMax)
        unsafe texts.initialize(repeating: 0, count: Self.placesMax * Self.bytesMax)
    }

    deinit { unsafe texts.deallocate() }

    /// The prepared key; -1 when the header is not known.
    func find(_ header: UnsafePointer<UInt8>, _ count: Int) -> Int {
        // The caller's header during this call.
        for index in 0..<Self.placesMax where Int(places[index].count) == count {
            if unsafe ByteSearch.areEqual(texts + index * Self.bytesMax, header, count) { return Int(places[index].key) }
        }
        return -1
    }

    /// Replaces the oldest.
    mutating func keep(_ header: UnsafePointer<UInt8>, _ count: Int, key: Int) {
        // The caller's header during this call.
        guard count > 0, count <= Self.bytesMax else { return }
        var place = next
        // The same header with another key: tokens without `kid`, signed by two keys in turn.
        for index in 0..<Self.placesMax where Int(places[index].count) == count {
            if unsafe ByteSearch.areEqual(texts + index * Self.bytesMax, header, count) { place = index }
        }
        if place == next { next = (next + 1) % Self.placesMax }
        unsafe (texts + place * Self.bytesMax).update(from: header, count: count)
        places[place] = Place(count: Int32(count), key: Int32(key))
    }
}
