// The kernel's list format for cores ("0-3,6"), read and written. Owns no state.
// Called while the loops are planned and by `uringd doctor`, at start-up, on the starting thread.

/// Lists of core numbers as the kernel, taskset(1) and `--loops` write them (cpuset(7), "List format").
package enum CoreList {
    /// 8191: CONFIG_NR_CPUS is at most 8192 on every architecture that runs io_uring, so a larger number is a typing error, and
    /// refusing it keeps `0-4000000000` from being expanded.
    package static let coreIndexMax = 8191

    /// What is wrong with a list.
    package enum Malformed: Error, Hashable, Sendable {
        case empty
        /// The element is neither a number nor a range of two.
        case element(String)
        /// A number above `coreIndexMax`.
        case tooLarge(String)
        /// `3-1`.
        case descending(String)
        /// A core named twice.
        case duplicate(Int)

        package var explanation: String {
            switch self {
            case .empty: "the list is empty"
            case .element(let text): "'\(text)' is neither a core number nor a range such as 0-3"
            case .tooLarge(let text): "'\(text)' names a core above \(coreIndexMax)"
            case .descending(let text): "'\(text)' runs downwards"
            case .duplicate(let core): "core \(core) is named twice"
            }
        }
    }

    /// The cores in the order they are written, ranges expanded.
    package static func parse(_ text: some StringProtocol) throws(Malformed) -> [Int] {
        let text = trimmed(Substring(text))
        guard !text.isEmpty else { throw .empty }
        var cores: [Int] = []
        var seen: Set<Int> = []
        for element in text.split(separator: ",", omittingEmptySubsequences: false) {
            for core in try range(trimmed(element)) {
                guard seen.insert(core).inserted else { throw .duplicate(core) }
                cores.append(core)
            }
        }
        return cores
    }

    /// Sorted, without repetitions; three or more neighbours become a range: `0,1`, `0-3,6`.
    package static func format(_ cores: some Sequence<Int>) -> String {
        var runs: [ClosedRange<Int>] = []
        for core in Set(cores).sorted() {
            if let last = runs.last, last.upperBound.addingReportingOverflow(1) == (core, false) {
                runs[runs.count - 1] = last.lowerBound...core
            } else {
                runs.append(core...core)
            }
        }
        return runs.map(text(of:)).joined(separator: ",")
    }

    private static func text(of run: ClosedRange<Int>) -> String {
        switch run.count {
        case 1: "\(run.lowerBound)"
        case 2: "\(run.lowerBound),\(run.upperBound)"
        default: "\(run.lowerBound)-\(run.upperBound)"
        }
    }

    private static func range(_ element: Substring) throws(Malformed) -> ClosedRange<Int> {
        let ends = element.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let low = try number(ends.first ?? "", of: element)
        guard ends.count == 2 else { return low...low }
        let high = try number(ends[1], of: element)
        guard low <= high else { throw .descending(String(element)) }
        return low...high
    }

    private static func number(_ digits: Substring, of element: Substring) throws(Malformed) -> Int {
        // The digits are checked first because Int("+1") is accepted by the standard library and must not be here.
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            throw .element(String(element))
        }
        guard let core = Int(digits), core <= coreIndexMax else { throw .tooLarge(String(element)) }
        return core
    }
}
