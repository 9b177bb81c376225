// ClientCertificateFilter: lets clients through whose verified certificate has one of certain names. Made at start and on reloads, immutable, shared by all loops; a request allocates nothing, but for
// the first of a connection, which reads the certificate.

internal import UringHTTP
internal import UringServer
internal import UringTLS

@safe
final class ClientCertificateFilter: Sendable {
    /// Why a request was refused; in the order of `FilterCounts.results`.
    private enum Refusal: Int, CaseIterable {
        case clear, missing, malformed, other

        var word: String {
            switch self {
            case .clear: "clear"
            case .missing: "no_certificate"
            case .malformed: "malformed_name"
            case .other: "other_subject"
            }
        }

        var detail: StaticString {
            switch self {
            case .clear: "a client certificate is needed, and the request came without TLS"
            case .missing: "a client certificate is needed"
            case .malformed: "the client certificate has a malformed name"
            case .other: "the client certificate is of another subject"
            }
        }
    }

    static let results = Refusal.allCases.map(\.word)

    /// As `TLSClientNames.texts` spells them.
    private let exact: FixedList
    private let prefixes: FixedList
    /// Empty: the name goes nowhere.
    private let forwardHeader: FixedBytes
    let removed: [String]
    private let counts: FilterCounts

    init(_ configuration: ClientCertificateConfiguration, _ counts: FilterCounts) {
        exact = FixedList(configuration.subjects.filter { !$0.isPrefix }.map(\.compared))
        prefixes = FixedList(configuration.subjects.filter(\.isPrefix).map(\.compared))
        forwardHeader = FixedBytes(configuration.forwardHeader ?? "")
        removed = [configuration.forwardHeader?.lowercased()].compactMap { $0 }
        self.counts = counts
    }

    /// On a loop's thread. Leaves in `pass` which name it was.
    func admits(_ request: borrowing Request, _ response: inout Response, _ pass: inout FilterPass) -> Bool {
        let names = request.clientNames
        switch names.state {
        case .clear: return refuse(&response, .clear)
        case .missing: return refuse(&response, .missing)
        case .malformed: return refuse(&response, .malformed)
        case .known:
            guard let name = find(names.texts) else { return refuse(&response, .other) }
            pass.clientName = name
            return true
        }
    }

    /// The first name in the certificate that is wanted.
    private func find(_ texts: ByteView) -> Range<Int>? {
        var start = 0
        while start < texts.count {
            var end = start
            while end < texts.count, texts[end] != 0 { end &+= 1 }
            if isWanted(ByteView(texts.span.extracting(start..<end))) { return start..<end }
            start = end &+ 1
        }
        return nil
    }

    private func isWanted(_ name: ByteView) -> Bool {
        // SAFETY: the lists are this object's.
        for index in 0..<exact.count where unsafe name == ByteView(Span(_unsafeElements: exact.buffer(index))) { return true }
        for index in 0..<prefixes.count {
            let prefix = unsafe prefixes.buffer(index)
            if name.count >= prefix.count, unsafe ByteView(name.span.extracting(first: prefix.count)) == ByteView(Span(_unsafeElements: prefix)) { return true }
        }
        return false
    }

    /// 403: there is no challenge that a 401 could have, since a certificate is not sent with a request (RFC 9110 section 15.5.2).
    private func refuse(_ response: inout Response, _ refusal: Refusal) -> Bool {
        response.problem(.forbidden, refusal.detail)
        counts.add(refusal.rawValue, loop: response.loopIndex, now: response.monotonicNanoseconds, "403: \(refusal.detail)")
        return false
    }

    /// Once more behind a wait. A client that has gone meanwhile is no refusal.
    func recall(_ request: borrowing Request, _ pass: inout FilterPass) -> Bool {
        let names = request.clientNames
        pass.clientName = find(names.texts)
        return pass.clientName != nil
    }

    func forward(_ request: borrowing Request, _ pass: FilterPass, to forwarded: ProxyRequest) {
        guard forwardHeader.count > 0, let name = pass.clientName else { return }
        let names = request.clientNames
        guard name.upperBound <= names.texts.count else { return }
        // SAFETY: the header's name is this object's.
        unsafe forwarded.addField(Span(_unsafeElements: forwardHeader.buffer), names.texts.span.extracting(name))
    }
}

extension CertificateSubject {
    /// As certificates' names are spelled: hosts in lower case.
    var compared: String {
        switch kind {
        case .dns: return kind.rawValue + text.lowercased()
        case .commonName, .uri: return kind.rawValue + text
        case .email:
            guard let at = text.firstIndex(of: "@") else { return kind.rawValue + text }
            return kind.rawValue + text[...at] + text[text.index(after: at)...].lowercased()
        }
    }
}
