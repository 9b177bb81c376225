// What the user asked for with `--loops` or `loops:`. Owns no state; parsed at start-up on the starting thread.

/// How many loops to run, and on which cores.
public enum LoopSelection: Hashable, Sendable {
    /// One loop per core that this process may use: affinity mask and cgroup CPU quota decide.
    case automatic
    /// This many loops (1…``loopsMax``), on cores chosen from the affinity mask.
    case count(Int)
    /// One loop on each of these cores, in this order. Each must be online and within the affinity mask.
    case cores([Int])

    /// 1024: every loop maps its own ring and buffers and can reach every other by mailbox, so a number beyond any machine's cores is a
    /// mistake that would cost memory quadratically.
    public static let loopsMax = 1024

    /// `auto`, a number of loops, or a list of cores such as `0,2`, `0-3,6`; one single core is written as a range: `2-2`.
    public init(parsing text: String) throws(LoopSelectionError) {
        let trimmedText = String(trimmed(text[...]))
        if trimmedText == "auto" {
            self = .automatic
        } else if !trimmedText.isEmpty, trimmedText.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
            guard let count = Int(trimmedText), (1...LoopSelection.loopsMax).contains(count) else {
                throw LoopSelectionError(text: text, problem: "the number of loops must be 1 to \(LoopSelection.loopsMax)")
            }
            self = .count(count)
        } else {
            do {
                self = .cores(try CoreList.parse(trimmedText))
            } catch {
                throw LoopSelectionError(text: text, problem: error.explanation)
            }
        }
    }
}

extension LoopSelection: CustomStringConvertible {
    /// The form that ``init(parsing:)`` reads.
    public var description: String {
        switch self {
        case .automatic: "auto"
        case .count(let count): "\(count)"
        case .cores(let cores) where cores.count == 1: "\(cores[0])-\(cores[0])"
        case .cores(let cores): cores.map { "\($0)" }.joined(separator: ",")
        }
    }
}

/// A text that is not a loop selection: what was found, and what is accepted.
public struct LoopSelectionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The text as the user wrote it.
    public let text: String
    /// What is wrong with it.
    public let problem: String

    /// What was found, and what is accepted.
    public var description: String {
        "loops '\(text)': \(problem); accepted are auto, a number of loops, or a list of cores such as 0,2 or 0-3,6"
    }
}
