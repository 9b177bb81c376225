// HeaderFilter: edits of a route's responses, whatever answers. Compiled from the configuration, immutable, shared by all loops.

internal import UringHTTP
internal import UringServer

final class HeaderFilter: Sendable {
    private let step: ResponseStep

    init(_ edits: HeaderEdits) {
        let removed = edits.remove + edits.set.map(\.name)
        let added = edits.set + edits.add
        step = ResponseStep { response, _ in
            for name in removed { response.headers.remove(dynamicName: name) }
            for field in added { response.headers.add(dynamicName: field.name, field.value) }
        }
    }

    /// Before what the other filters may answer. On a loop's thread.
    func register(_ response: inout Response) { response.beforeSending(step) }
}
