// BansPage: `/bans` of the administration: who is banned, and bans that are added and lifted. Requests come as bytes and leave as JSON; on threads that may wait.

internal import UringHTTP
internal import UringPolicy

/// A status and a document.
struct BansAnswer: Sendable {
    var status: HTTPStatus
    var document: JSONValue

    static func problem(_ status: HTTPStatus, _ detail: String, _ more: [JSONValue.Member] = []) -> BansAnswer {
        BansAnswer(status: status, document: .problem(status, detail, more))
    }
}

struct BansPage: Sendable {
    let book: BanBook
    /// Forgets what led to bans that are lifted; nil: there are no rules.
    let watch: BanWatch?
    /// ns since 1970.
    let now: UInt64

    /// Of one answer; `count` says how many there are.
    static let shownMax = 10_000
    /// Of one request.
    static let addedMax = 1000
    /// The bytes of a request that adds so many, with room for reasons.
    static let bodyBytesMax = 1 << 20
    /// A ban of fewer bits is most of the internet.
    private static let v4BitsMin = 8
    private static let v6BitsMin = 16
    private static let second: UInt64 = 1_000_000_000
    private static let longestNs: UInt64 = 3650 * 86_400 * second

    // MARK: GET

    /// What a query may ask for.
    enum Query: Equatable, Sendable {
        case all
        /// As a file that `addresses.file` takes.
        case text
        case source(BanSource)
        /// Bans around an address.
        case address(IPAddress)

        static let accepted = "no query, ?text, ?source=\(BanSource.allCases.map(\.rawValue).joined(separator: "|")) or ?address=IP"

        init?(_ text: String) {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            switch (parts.first ?? "", parts.count) {
            case ("", 1), ("", 0): self = .all
            case ("text", 1): self = .text
            case ("source", 2):
                guard let source = BanSource(rawValue: parts[1]) else { return nil }
                self = .source(source)
            case ("address", 2):
                guard let address = IPAddress(parts[1]) else { return nil }
                self = .address(address)
            default: return nil
            }
        }
    }

    func list(_ query: Query) -> JSONValue {
        let (live, file, allowed) = book.lists
        let entries = (live.list(now: now) + file.list(now: now)).filter { entry in
            switch query {
            case .all, .text: true
            case .source(let source): entry.source == source
            case .address(let address): entry.prefix.contains(address)
            }
        }.sorted { ($0.prefix.address, $0.prefix.length) < ($1.prefix.address, $1.prefix.length) }
        return .object([
            "count": .integer(UInt64(entries.count)), "shown": .integer(UInt64(min(entries.count, Self.shownMax))), "file": fileStatus,
            "never-banned": .array(allowed.prefix(Self.shownMax).map { .string($0.description) }), "bans": .array(entries.prefix(Self.shownMax).map(document)),
        ])
    }

    /// All that is changed at run time, as lines.
    var text: String { BanFile.write(book.lists.live, now: now) }

    private var fileStatus: JSONValue? {
        book.figures(now: now).file.map { file in
            .object([
                "path": .string(file.path), "read": .string(UTCTime.text(file.readNs)), "problem": file.problem.map { .string($0) },
            ])
        }
    }

    private func document(_ entry: BanEntry) -> JSONValue {
        .object([
            "prefix": .string(entry.prefix.description), "source": .string(entry.source.rawValue), "reason": .string(entry.reason),
            "until": entry.isPermanent ? .null : .string(UTCTime.text(entry.until)),
            "seconds-left": entry.isPermanent ? .null : .integer((entry.until - min(now, entry.until)) / Self.second),
        ])
    }

    // MARK: POST

    static let accepted = "accepted: {\"prefix\": \"203.0.113.0/24\", \"for\": \"10m\", \"reason\": \"TEXT\"}, or a list of at most \(addedMax) of these; `until` with a time like 2026-01-02T03:04:05Z in place of `for`; with neither it is for good"

    func add(_ body: [UInt8]) -> BansAnswer {
        guard body.count <= Self.bodyBytesMax else { return .problem(.contentTooLarge, "more than \(Self.bodyBytesMax) bytes") }
        // Every JSON text is YAML, whose parser there is, with bounds of its own.
        guard JSONSyntax.isValid(body), let root = YAMLDocument.parse(body).root else { return .problem(.badRequest, "the body is no JSON text; \(Self.accepted)") }
        let nodes: [YAMLNode]
        if case .sequence(let items) = root.content { nodes = items } else { nodes = [root] }
        guard (1...Self.addedMax).contains(nodes.count) else { return .problem(.unprocessableContent, "\(nodes.count) bans; \(Self.accepted)") }
        var (entries, problems): ([BanEntry], [String]) = ([], [])
        for (index, node) in nodes.enumerated() {
            switch entry(node) {
            case .success(let entry): entries.append(entry)
            case .failure(let problem): problems.append(nodes.count == 1 ? problem.reason : "[\(index)]: \(problem.reason)")
            }
        }
        guard problems.isEmpty else {
            let all = JSONValue.Member(name: "problems", value: .array(problems.prefix(20).map { .string($0) }))
            return .problem(.unprocessableContent, "\(problems[0]); nothing was banned; \(Self.accepted)", problems.count > 1 ? [all] : [])
        }
        switch book.add(entries, now: now) {
        case .failure(.full):
            return .problem(.insufficientStorage, "there are \(BanBook.entriesMax) bans at most besides those of addresses.file; lift some, or write prefixes into the file")
        case .failure(.neverBanned(let prefix)):
            return .problem(.unprocessableContent, "\(prefix) is never banned: it is in `trusted-proxies`, or the file of `addresses` allows it; nothing was banned")
        case .success(let additions):
            book.log?.log.notice("the administration banned \(entries.count == 1 ? describe(entries[0]) : "\(entries.count) prefixes, \(describe(entries[0])) first")")
            let documents = zip(entries, additions).map { entry, addition -> JSONValue in
                guard case .object(let members) = document(entry) else { return .null }
                return .object(members + [.init(name: "replaced", value: .boolean(addition == .replaced))])
            }
            let isNew = additions.contains(.added)
            if case .sequence = root.content { return BansAnswer(status: isNew ? .created : .ok, document: .array(documents)) }
            return BansAnswer(status: isNew ? .created : .ok, document: documents[0])
        }
    }

    private func describe(_ entry: BanEntry) -> String {
        "\(entry.prefix) \(entry.isPermanent ? "for good" : "until \(UTCTime.text(entry.until))")\(entry.reason.isEmpty ? "" : ": \(entry.reason)")"
    }

    private func entry(_ node: YAMLNode) -> Result<BanEntry, TextProblem> {
        guard case .mapping(let members) = node.content else { return Self.failure("found \(node.found) where a ban is expected") }
        var texts: [String: String] = [:]
        for member in members {
            guard ["prefix", "for", "until", "reason"].contains(member.key) else { return Self.failure("the key `\(YAMLScalar.shown(member.key))` is none of prefix, for, until, reason") }
            guard case .scalar(let scalar) = member.value.content, scalar.style == .quoted else { return Self.failure("`\(member.key)` is no text") }
            texts[member.key] = scalar.text
        }
        guard let text = texts["prefix"] else { return Self.failure("`prefix` is missing") }
        let prefix: Prefix
        switch Self.prefix(text) {
        case .success(let found): prefix = found
        case .failure(let problem): return .failure(problem)
        }
        switch until(texts["for"], texts["until"]) {
        case .success(let until): return .success(BanEntry(prefix, until: until, source: .admin, reason: texts["reason"] ?? ""))
        case .failure(let problem): return .failure(problem)
        }
    }

    private static func failure<Value>(_ reason: String) -> Result<Value, TextProblem> { .failure(TextProblem(reason: reason)) }

    private static func prefix(_ text: String) -> Result<Prefix, TextProblem> {
        switch Prefix.strict(text) {
        case .failure(let error): return failure(error.description)
        case .success(let prefix):
            let (bits, least) = prefix.isIPv4 ? (Int(prefix.length) - 96, v4BitsMin) : (Int(prefix.length), v6BitsMin)
            guard bits >= least else { return failure("\(prefix) is too much at once: at least /\(least) of \(prefix.isIPv4 ? "IPv4" : "IPv6")") }
            return .success(prefix)
        }
    }

    private func until(_ length: String?, _ time: String?) -> Result<UInt64, TextProblem> {
        if length != nil, time != nil { return Self.failure("`for` and `until` are both there") }
        if let length {
            guard case .value(let ns) = ConfigUnit.duration.parse(length), (Self.second...Self.longestNs).contains(ns) else {
                return Self.failure("`for` is \(YAMLScalar.shown(length)), and \(ConfigUnit.duration.accepted), from 1s to 3650d, is expected")
            }
            return .success(now + ns)
        }
        guard let time else { return .success(.max) }
        guard let until = UTCTime.parse(time[...]), until > now else { return Self.failure("`until` is \(YAMLScalar.shown(time)), and a time to come, like 2026-01-02T03:04:05Z, is expected") }
        return .success(until)
    }

    // MARK: DELETE

    static let acceptedRemoval = "accepted: ?prefix=PREFIX, as /bans lists it"

    /// - Parameter query: decoded.
    func remove(_ query: String) -> BansAnswer {
        guard query.hasPrefix("prefix=") else { return .problem(.badRequest, "which ban? \(Self.acceptedRemoval)") }
        let prefix: Prefix
        switch Prefix.strict(String(query.dropFirst("prefix=".count))) {
        case .failure(let error): return .problem(.badRequest, "\(error); \(Self.acceptedRemoval)")
        case .success(let found): prefix = found
        }
        switch book.remove(prefix, now: now) {
        case .absent: return .problem(.notFound, "there is no ban of \(prefix)")
        case .inFile: return .problem(.conflict, "\(prefix) stands in the file of `addresses`: take it out there, which is seen within a second or two")
        case .removed(let entry):
            watch?.pardon(prefix)
            book.log?.log.notice("the administration lifted the ban of \(describe(entry))")
            return BansAnswer(status: .ok, document: document(entry))
        }
    }
}
