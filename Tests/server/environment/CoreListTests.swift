// CoreList and LoopSelection: texts in, cores out, every refusal by name.

import Testing

@testable import UringServer

@Suite struct CoreListTests {
    @Test(arguments: [
        ("0", [0]), ("0,2", [0, 2]), ("0-3,6", [0, 1, 2, 3, 6]), ("2-2", [2]), ("3,1", [3, 1]), (" 0-1 , 4 \n", [0, 1, 4]), ("8191", [8191]),
    ])
    func reads(text: String, cores: [Int]) throws {
        #expect(try CoreList.parse(text) == cores)
    }

    @Test(arguments: [
        ("", CoreList.Malformed.empty), (" ", .empty), (",", .element("")), ("0,", .element("")), ("a", .element("a")), ("+1", .element("+1")),
        ("1-", .element("1-")), ("-1", .element("-1")), ("1-2-3", .element("1-2-3")), ("0 - 1", .element("0 - 1")), ("0x1", .element("0x1")), ("١", .element("١")),
        ("3-1", .descending("3-1")), ("0,0", .duplicate(0)), ("0-3,2", .duplicate(2)), ("8192", .tooLarge("8192")),
        ("0-99999999999999999999", .tooLarge("0-99999999999999999999")),
    ])
    func refuses(text: String, reason: CoreList.Malformed) {
        #expect(throws: reason) { try CoreList.parse(text) }
    }

    @Test(arguments: [
        ([Int](), ""), ([0], "0"), ([1, 0], "0,1"), ([0, 1, 2], "0-2"), ([6, 0, 1, 2, 3, 3], "0-3,6"), ([0, 2, 4], "0,2,4"),
        ([Int.max, 0], "0,\(Int.max)"),
    ])
    func writes(cores: [Int], text: String) {
        #expect(CoreList.format(cores) == text)
    }

    /// Any cut of a valid list is read or refused, never a trap.
    @Test func survivesEveryCut() {
        let text = "0-3,6,10-12"
        for cut in 0...text.count {
            _ = try? CoreList.parse(text.prefix(cut))
            _ = try? CoreList.parse(text.dropFirst(cut))
        }
        #expect((try? CoreList.parse(text.prefix(3))) == [0, 1, 2, 3])
    }
}

@Suite struct LoopSelectionTests {
    @Test(arguments: [
        ("auto", LoopSelection.automatic), (" auto ", .automatic), ("1", .count(1)), ("1024", .count(1024)), ("0,2", .cores([0, 2])),
        ("0-3,6", .cores([0, 1, 2, 3, 6])), ("2-2", .cores([2])),
    ])
    func reads(text: String, selection: LoopSelection) throws {
        #expect(try LoopSelection(parsing: text) == selection)
        #expect(try LoopSelection(parsing: selection.description) == selection)
    }

    @Test(arguments: ["", "0", "1025", "99999999999999999999", "Auto", "automatic", "-1", "1.5", "0,0", "3-1", "0;2"])
    func refuses(text: String) throws {
        let error = #expect(throws: LoopSelectionError.self) { try LoopSelection(parsing: text) }
        #expect(error?.description.hasPrefix("loops '\(text)': ") == true)
        #expect(error?.description.hasSuffix("accepted are auto, a number of loops, or a list of cores such as 0,2 or 0-3,6") == true)
    }
}
