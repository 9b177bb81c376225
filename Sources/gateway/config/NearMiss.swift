// "did you mean …?": the accepted word closest to what an operator typed. Runs only on the way to an error message.

enum NearMiss {
    /// Longer words are not looked at: no accepted word is that long, and the table grows with the product of lengths.
    static let bytesMax = 40

    /// The candidate within a third of its length (at least one edit), else one that the word begins; or nil. The first of
    /// equals wins.
    static func find(_ word: String, in candidates: [String]) -> String? {
        guard !word.isEmpty, word.utf8.count <= bytesMax else { return nil }
        let folded = normalised(word)
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            let other = normalised(candidate)
            let distance = distance(folded, other)
            guard distance <= max(1, other.count / 3), distance < other.count, distance < best?.distance ?? .max else { continue }
            best = (candidate, distance)
        }
        return best?.candidate ?? (folded.count < 3 ? nil : candidates.first { normalised($0).starts(with: folded) })
    }

    /// `header_bytes`, `headerBytes` and `Header-Bytes` are all meant as `header-bytes`.
    private static func normalised(_ word: String) -> [UInt8] {
        Array(word.lowercased().utf8).filter { $0 != UInt8(ascii: "_") && $0 != UInt8(ascii: "-") }
    }

    /// Optimal string alignment: insertions, deletions, replacements and swaps of neighbours cost one each.
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for (i, byte) in a.enumerated() {
            var row = [i + 1]
            for (j, other) in b.enumerated() {
                var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (byte == other ? 0 : 1))
                if i > 0, j > 0, byte == b[j - 1], a[i - 1] == other { cost = min(cost, beforeLast[j - 1] + 1) }
                row.append(cost)
            }
            beforeLast = last
            last = row
        }
        return last[b.count]
    }
}
