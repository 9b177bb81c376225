// The administration listener: whether the process lives, and whether it wants clients. Served by a loop of its own, so that it answers while
// the main loops are busy, stalled or draining.

internal import Synchronization
internal import UringHTTP
package import UringServer

/// What `/readyz` says. Set by the thread that starts and stops the server, read by the administration's loop.
package final class Readiness: Sendable {
    package enum Phase: UInt8, Sendable { case starting, serving, draining }

    private let phase = Atomic<UInt8>(Phase.starting.rawValue)

    package init() {}

    package var current: Phase {
        get { Phase(rawValue: phase.load(ordering: .acquiring)) ?? .starting }
        set { phase.store(newValue.rawValue, ordering: .releasing) }
    }
}

package enum AdminApplication {
    package static func make(_ readiness: Readiness, reporter: any ServerReporter) -> Application {
        var application = Application { request, response in respond(request, &response, readiness.current) }
        application.reporter = reporter
        return application
    }

    private static func respond(_ request: borrowing Request, _ response: inout Response, _ phase: Readiness.Phase) {
        let isLivez = request.path == "/livez"
        guard isLivez || request.path == "/readyz" else { return response.fail(.notFound) }
        switch request.method {
        case .get, .head: break
        case .options, .post, .put, .delete, .connect, .trace, .patch, .other:
            if request.method == .options { response.restart(.noContent) } else { response.fail(.methodNotAllowed) }
            response.headers["allow"] = "GET, HEAD, OPTIONS"
            return
        }
        if !isLivez, phase != .serving {
            response.status = .serviceUnavailable
            // The load balancer asks again soon; a cache must not answer for us.
            response.write(phase == .draining ? "draining\n" : "starting\n")
        } else {
            response.write("ok\n")
        }
        response.headers["content-type"] = "text/plain; charset=utf-8"
        response.headers["cache-control"] = "no-store"
    }
}
