import Testing

@testable import UringHTTP

private let modified: Int64 = 1_700_000_000
private let now: Int64 = 1_800_000_000
private let html = MediaType.forExtension("html".utf8Span.span)
private let png = MediaType.forExtension("png".utf8Span.span)
private let strong = text(EntityTag(stat: .regular(1000)))

private struct PlanInput {
    var method = HTTPMethod.get
    var range: String?
    var fields = ConditionFields()
    var stat = FileStat.regular(1000)
    var mediaType = html
    var encoding = EncodingChoice.identity
    var isEncodedOnTheFly = false
    var namesDirectory = false
    var options = FileOptions()
    var now: Int64 = 1_800_000_000

    func plan() -> FilePlan {
        let rangeBytes = Array((range ?? "").utf8)
        return fields.with { preconditions in
            let request = FileRequest(
                method: method, range: range == nil ? nil : rangeBytes.span, preconditions: preconditions, namesDirectory: namesDirectory)
            let file = FileCandidate(stat: stat, mediaType: mediaType, encoding: encoding, isEncodedOnTheFly: isEncodedOnTheFly)
            return FilePlan.make(request, file, options: options, now: now, boundary: 0xB0)
        }
    }
}

extension FilePlan {
    fileprivate var contentTypeText: String? {
        switch contentType {
        case .media(let type): text(type.name)
        case .multipart: "multipart"
        case nil: nil
        }
    }

    fileprivate var bodyText: String {
        switch body {
        case .none: "none"
        case .whole: "whole"
        case .single(let range): "\(range.first)-\(range.last)"
        case .multipart(let parts): (0..<parts.ranges.count).map { "\(parts.ranges[$0].first)-\(parts.ranges[$0].last)" }.joined(separator: " ")
        }
    }
}

@Suite struct FilePlanTests {
    @Test func wholeFile() {
        let plan = PlanInput().plan()
        #expect(plan.status == .ok && plan.bodyText == "whole")
        #expect(plan.contentTypeText == "text/html; charset=utf-8")
        #expect(plan.contentLength == 1000 && plan.contentRange == nil && plan.contentEncoding == nil)
        #expect(plan.entityTag.map(text) == strong && plan.lastModified == modified)
        #expect(plan.acceptsRanges && !plan.variesByEncoding && !plan.sendsCacheControl && !plan.sendsAllow)
    }

    @Test func emptyFile() {
        let plan = PlanInput(stat: .regular(0)).plan()
        #expect(plan.status == .ok && plan.bodyText == "whole" && plan.contentLength == 0)
        let partial = PlanInput(range: "bytes=0-0", stat: .regular(0)).plan()
        #expect(partial.status == .rangeNotSatisfiable && partial.contentRange == .unsatisfied(size: 0))
        #expect(PlanInput(range: "bytes=-1", stat: .regular(0)).plan().status == .ok)
    }

    @Test func headHasTheFieldsOfGetAndNoBody() {
        let get = PlanInput().plan()
        let head = PlanInput(method: .head).plan()
        #expect(head.status == .ok && head.bodyText == "none")
        #expect(head.contentLength == get.contentLength && head.contentTypeText == get.contentTypeText && head.acceptsRanges)
        #expect(head.entityTag.map(text) == strong && head.lastModified == get.lastModified)
        // Range is defined for GET alone (RFC 9110 section 14.2).
        let ranged = PlanInput(method: .head, range: "bytes=0-1").plan()
        #expect(ranged.status == .ok && ranged.contentLength == 1000 && ranged.contentRange == nil)
    }

    @Test func methods() {
        let options = PlanInput(method: .options).plan()
        #expect(options.status == .noContent && options.sendsAllow && options.contentLength == nil && options.bodyText == "none")
        let other = PlanInput(method: .other, range: "bytes=0-1", fields: ConditionFields(ifMatch: "x")).plan()
        #expect(other.status == .methodNotAllowed && other.sendsAllow && other.entityTag == nil)
        #expect(FilePlan.beforeOpening(.get) == nil && FilePlan.beforeOpening(.head) == nil)
        for method in HTTPMethod.allCases where ![.get, .head, .options].contains(method) {
            #expect(FilePlan.beforeOpening(method)?.status == .methodNotAllowed)
        }
        #expect(text(FilePlan.allow) == "GET, HEAD, OPTIONS")
        #expect(FilePlan.refusal(.uriTooLong).status == .uriTooLong)
    }

    @Test func directoriesAndOtherKinds() {
        func status(_ kind: FileStat.Kind, namesDirectory: Bool) -> HTTPStatus {
            var input = PlanInput(namesDirectory: namesDirectory)
            input.stat.kind = kind
            return input.plan().status
        }
        #expect(status(.directory, namesDirectory: false) == .movedPermanently)
        #expect(status(.directory, namesDirectory: true) == .notFound)
        #expect(status(.regular, namesDirectory: true) == .notFound)
        #expect(status(.other, namesDirectory: false) == .notFound)
        #expect(status(.other, namesDirectory: true) == .notFound)
    }

    @Test func singleRange() {
        let plan = PlanInput(range: "bytes=10-19").plan()
        #expect(plan.status == .partialContent && plan.bodyText == "10-19" && plan.contentLength == 10)
        #expect(plan.contentRange == .satisfied(ByteRange(first: 10, last: 19), size: 1000))
        #expect(plan.contentTypeText == "text/html; charset=utf-8")
        #expect(plan.entityTag.map(text) == strong && plan.lastModified == modified && plan.acceptsRanges)
    }

    @Test func multipleRanges() {
        let plan = PlanInput(range: "bytes=0-0,-1").plan()
        #expect(plan.status == .partialContent && plan.bodyText == "0-0 999-999" && plan.contentTypeText == "multipart")
        #expect(plan.contentRange == nil)
        guard case .multipart(let parts) = plan.body else { return }
        #expect(plan.contentLength == parts.contentLength && parts.boundary == 0xB0 && parts.size == 1000)
        #expect(text(parts.mediaType.name) == "text/html; charset=utf-8")
        // One part left is no multipart.
        #expect(PlanInput(range: "bytes=0-1,2000-").plan().bodyText == "0-1")
        #expect(PlanInput(range: "bytes=0-1,2-3").plan().contentRange == .satisfied(ByteRange(first: 0, last: 3), size: 1000))
    }

    @Test func unsatisfiableRange() {
        let plan = PlanInput(range: "bytes=1000-").plan()
        #expect(plan.status == .rangeNotSatisfiable && plan.bodyText == "none")
        #expect(plan.contentRange == .unsatisfied(size: 1000) && plan.contentLength == nil && plan.contentType == nil)
        #expect(plan.acceptsRanges && plan.contentEncoding == nil && plan.lastModified == nil)
    }

    @Test func rangesThatAreIgnored() {
        for range in ["", "bytes=5-4", "items=0-1", "bytes=" + (0..<20).map { "\($0 * 9)-" }.joined(separator: ",")] {
            let plan = PlanInput(range: range).plan()
            #expect(plan.status == .ok && plan.bodyText == "whole" && plan.contentLength == 1000)
        }
        var options = FileOptions()
        options.servesRanges = false
        let plan = PlanInput(range: "bytes=0-1", options: options).plan()
        #expect(plan.status == .ok && !plan.acceptsRanges)
    }

    @Test func conditionsComeBeforeRanges() {
        let notModified = PlanInput(range: "bytes=0-1", fields: ConditionFields(ifNoneMatch: strong)).plan()
        #expect(notModified.status == .notModified && notModified.bodyText == "none" && notModified.contentLength == nil)
        let failed = PlanInput(range: "bytes=0-1", fields: ConditionFields(ifMatch: #""x""#)).plan()
        #expect(failed.status == .preconditionFailed && failed.contentRange == nil)
        let unsatisfiable = PlanInput(range: "bytes=5000-", fields: ConditionFields(ifModifiedSince: modified)).plan()
        #expect(unsatisfiable.status == .notModified)
        let both = PlanInput(range: "bytes=0-1", fields: ConditionFields(ifMatch: strong, ifRange: strong)).plan()
        #expect(both.status == .partialContent)
    }

    @Test func ifRangeFallsBackToTheWholeFile() {
        #expect(PlanInput(range: "bytes=0-1", fields: ConditionFields(ifRange: strong)).plan().status == .partialContent)
        #expect(PlanInput(range: "bytes=0-1", fields: ConditionFields(ifRange: #""x""#)).plan().status == .ok)
        #expect(PlanInput(range: "bytes=5000-", fields: ConditionFields(ifRange: #""x""#)).plan().status == .ok)
        #expect(PlanInput(range: "bytes=0-1", fields: ConditionFields(ifRange: "d", ifRangeDate: modified)).plan().status == .partialContent)
        #expect(PlanInput(range: "bytes=0-1", fields: ConditionFields(ifRange: "d", ifRangeDate: modified + 1)).plan().status == .ok)
        #expect(PlanInput(fields: ConditionFields(ifRange: #""x""#)).plan().status == .ok)
    }

    @Test func notModifiedKeepsWhatCachesNeed() {
        var options = FileOptions()
        options.hasCacheControl = true
        options.usesSiblings = true
        for method in [HTTPMethod.get, .head] {
            let plan = PlanInput(method: method, fields: ConditionFields(ifNoneMatch: "*"), options: options).plan()
            #expect(plan.status == .notModified && plan.entityTag.map(text) == strong)
            #expect(plan.lastModified == nil && plan.sendsCacheControl && plan.variesByEncoding)
            #expect(plan.contentType == nil && plan.contentEncoding == nil && !plan.acceptsRanges)
        }
        options.sendsEntityTag = false
        let dated = PlanInput(fields: ConditionFields(ifModifiedSince: modified), options: options).plan()
        #expect(dated.status == .notModified && dated.entityTag == nil && dated.lastModified == modified)
    }

    @Test func cacheControlGoesWithTheFileOnly() {
        var options = FileOptions()
        options.hasCacheControl = true
        #expect(PlanInput(options: options).plan().sendsCacheControl)
        #expect(PlanInput(range: "bytes=0-1", options: options).plan().sendsCacheControl)
        #expect(!PlanInput(range: "bytes=9999-", options: options).plan().sendsCacheControl)
        #expect(!PlanInput(fields: ConditionFields(ifMatch: "?"), options: options).plan().sendsCacheControl)
        #expect(!PlanInput(namesDirectory: true, options: options).plan().sendsCacheControl)
    }

    @Test func precompressedVariant() {
        var options = FileOptions()
        options.usesSiblings = true
        let plan = PlanInput(range: "bytes=0-9", stat: .regular(300), encoding: .coded(.brotli), options: options).plan()
        #expect(plan.status == .partialContent && plan.contentEncoding == .brotli && plan.variesByEncoding)
        #expect(plan.contentRange == .satisfied(ByteRange(first: 0, last: 9), size: 300))
        #expect(plan.contentTypeText == "text/html; charset=utf-8")
        #expect(plan.entityTag.map(text) == text(EntityTag(stat: .regular(300), coding: .brotli)))
        // The plain file's tag does not match the variant's.
        let plain = text(EntityTag(stat: .regular(300)))
        let other = PlanInput(fields: ConditionFields(ifNoneMatch: plain), stat: .regular(300), encoding: .coded(.gzip), options: options)
        #expect(other.plan().status == .ok)
    }

    @Test func vary() {
        var options = FileOptions()
        options.usesSiblings = true
        // Even when the plain file is sent: another client would have got another answer.
        #expect(PlanInput(options: options).plan().variesByEncoding)
        #expect(PlanInput(range: "bytes=0-1", options: options).plan().variesByEncoding)
        #expect(PlanInput(range: "bytes=9999-", options: options).plan().variesByEncoding)
        #expect(!PlanInput(mediaType: png, options: options).plan().variesByEncoding)
        #expect(!PlanInput().plan().variesByEncoding)
        #expect(PlanInput(isEncodedOnTheFly: true).plan().variesByEncoding)
        let refused = PlanInput(encoding: .notAcceptable, options: options).plan()
        #expect(refused.status == .notAcceptable && refused.variesByEncoding && refused.entityTag == nil && refused.bodyText == "none")
    }

    @Test func encodedOnTheFly() {
        let input = PlanInput(range: "bytes=0-1", encoding: .coded(.gzip), isEncodedOnTheFly: true)
        let plan = input.plan()
        #expect(plan.status == .ok && plan.bodyText == "whole" && plan.contentLength == nil && !plan.acceptsRanges)
        #expect(plan.entityTag?.isWeak == true && plan.contentEncoding == .gzip)
        let tag = plan.entityTag.map(text) ?? ""
        let again = PlanInput(
            fields: ConditionFields(ifNoneMatch: tag), encoding: .coded(.gzip), isEncodedOnTheFly: true)
        #expect(again.plan().status == .notModified)
    }

    @Test func modificationTimes() {
        // Never later than now.
        let future = PlanInput(stat: .regular(1, mtime: now + 50), now: now).plan()
        #expect(future.lastModified == now && future.entityTag != nil)
        // The constant times of reproducible builds say nothing.
        for mtime in [0, 1] as [Int64] {
            let plan = PlanInput(fields: ConditionFields(ifModifiedSince: now), stat: .regular(1, mtime: mtime)).plan()
            #expect(plan.status == .ok && plan.entityTag == nil && plan.lastModified == nil)
        }
        // Outside of what an HTTP date can say.
        for mtime in [Int64.min, HTTPDate.secondsMin - 1, 253_402_300_800, Int64.max] {
            let plan = PlanInput(stat: .regular(1, mtime: mtime), now: .max).plan()
            #expect(plan.lastModified == nil && plan.entityTag != nil)
        }
        #expect(PlanInput(stat: .regular(1, mtime: HTTPDate.secondsMin)).plan().lastModified == HTTPDate.secondsMin)
        #expect(PlanInput(stat: .regular(1, mtime: 253_402_300_799), now: .max).plan().lastModified == 253_402_300_799)
        var options = FileOptions()
        options.sendsLastModified = false
        #expect(PlanInput(fields: ConditionFields(ifModifiedSince: now), options: options).plan().status == .ok)
    }

    /// Every plan, whatever goes in, is consistent with itself.
    @Test(arguments: [71, 72, 73] as [UInt64])
    func randomRequestsGetConsistentPlans(seed: UInt64) {
        var random = FileTestRandom(state: seed)
        var seen = Set<HTTPStatus>()
        for _ in 0..<20_000 {
            var input = PlanInput()
            input.method = [.get, .get, .get, .head, .options, .post][random.below(6)]
            input.stat = FileStat(
                kind: [.regular, .regular, .regular, .regular, .directory, .other][random.below(6)], size: random.edgeNumber(),
                mtimeSeconds: Int64(bitPattern: random.edgeNumber()), mtimeNanoseconds: UInt32(truncatingIfNeeded: random.next()))
            input.now = Int64(bitPattern: random.edgeNumber())
            input.namesDirectory = random.below(8) == 0
            input.mediaType = random.below(2) == 0 ? html : png
            input.encoding = [.identity, .identity, .coded(.zstd), .notAcceptable][random.below(4)]
            input.isEncodedOnTheFly = random.below(6) == 0
            input.options.usesSiblings = random.below(2) == 0
            input.options.hasCacheControl = random.below(2) == 0
            let tag = text(EntityTag(stat: input.stat))
            let tags = ["*", tag, "W/\(tag)", #""x""#, "", "nonsense"]
            func maybe<T>(_ value: T) -> T? { random.below(3) == 0 ? value : nil }
            input.range = maybe("bytes=\(random.edgeNumber())-,\(random.edgeNumber())-\(random.edgeNumber()),-\(random.edgeNumber())")
                ?? maybe("bytes=\(random.edgeNumber())-")
            input.fields.ifMatch = maybe(tags[random.below(6)])
            input.fields.ifNoneMatch = maybe(tags[random.below(6)])
            input.fields.ifRange = maybe(tags[random.below(6)])
            input.fields.ifModifiedSince = maybe(Int64(bitPattern: random.edgeNumber()))
            input.fields.ifUnmodifiedSince = maybe(Int64(bitPattern: random.edgeNumber()))
            input.fields.ifRangeDate = maybe(input.stat.mtimeSeconds)
            let plan = input.plan()
            seen.insert(plan.status)
            expectConsistent(plan, input, seed)
        }
        #expect(
            seen == [
                .ok, .noContent, .partialContent, .movedPermanently, .notModified, .notFound, .methodNotAllowed, .notAcceptable,
                .preconditionFailed, .rangeNotSatisfiable,
            ])
    }

    private func expectConsistent(_ plan: FilePlan, _ input: PlanInput, _ seed: UInt64) {
        let size = input.stat.size
        var isRight =
            switch plan.body {
            case .none: true
            case .whole: plan.status == .ok && (plan.contentLength == size || input.isEncodedOnTheFly)
            case .single(let range): plan.status == .partialContent && range.last < size && plan.contentLength == range.count
            case .multipart(let parts):
                plan.status == .partialContent && plan.contentRange == nil && plan.contentLength == parts.contentLength
            }
        isRight = isRight && (input.method == .get || plan.bodyText == "none")
        isRight = isRight && (plan.contentRange != nil) == (plan.status == .rangeNotSatisfiable || { if case .single = plan.body { true } else { false } }())
        isRight = isRight && plan.sendsAllow == (plan.status == .methodNotAllowed || plan.status == .noContent)
        isRight = isRight && (plan.contentEncoding == nil || plan.variesByEncoding)
        isRight = isRight && (plan.lastModified ?? .min) <= input.now
        isRight = isRight && ((plan.contentType != nil) == (plan.status == .ok || plan.status == .partialContent))
        #expect(isRight, "seed \(seed) \(input) \(plan.status) \(plan.bodyText)")
    }
}
