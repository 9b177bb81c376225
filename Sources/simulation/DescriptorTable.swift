// DescriptorTable: the descriptors of the simulated process, shared by its loops. Lowest free number first, as Linux does, so that a
// stale completion or a late close hits the connection that came after.

internal import Glibc

struct DescriptorTable {
    /// Standard input, output and error are taken.
    let first: Int32
    /// Numbers from here on fail with -EMFILE, as RLIMIT_NOFILE says.
    var limit: Int32
    private var files: [OpenFile?] = []
    private var lowestFree = 0
    private(set) var open = 0
    private(set) var highWater = 0

    init(first: Int32 = 3, limit: Int32) { (self.first, self.limit) = (first, limit) }

    /// nil when the limit is reached.
    mutating func add(_ file: OpenFile) -> Int32? {
        while lowestFree < files.count && files[lowestFree] != nil { lowestFree += 1 }
        guard Int32(lowestFree) + first < limit else { return nil }
        if lowestFree == files.count { files.append(file) } else { files[lowestFree] = file }
        file.descriptors += 1
        open += 1
        if open > highWater { highWater = open }
        return Int32(lowestFree) + first
    }

    var isFull: Bool { Int32(open) + first >= limit }

    subscript(fd: Int32) -> OpenFile? {
        let index = Int(fd) - Int(first)
        return index >= 0 && index < files.count ? files[index] : nil
    }

    /// Frees the number. The caller lets the file go.
    mutating func remove(_ fd: Int32) -> OpenFile? {
        guard let file = self[fd] else { return nil }
        let index = Int(fd - first)
        files[index] = nil
        file.descriptors -= 1
        open -= 1
        if index < lowestFree { lowestFree = index }
        return file
    }

    /// Open descriptors with their files, in order.
    var all: [(Int32, OpenFile)] {
        files.enumerated().compactMap { index, file in file.map { (Int32(index) + first, $0) } }
    }
}
