// A chat over WebSockets. Members sit on whichever loop has accepted their connection; what one says goes to each loop once, and from there to its members.
//
//     swift run chat                           open http://127.0.0.1:8080/ in two windows

import Synchronization
import UringServer

/// Who is there, and what was said last. Shared by the loops, behind a lock that is held for a moment.
final class Room: Sendable {
    private struct State {
        var members: [WebSocketHandle: String] = [:]
        var recent: [String] = []
    }
    private let state = Mutex(State())

    /// - Returns: what was said before.
    func join(_ member: WebSocketHandle, _ name: String) -> [String] {
        let recent = state.withLock { state in
            state.members[member] = name
            return state.recent
        }
        say("* \(name) has come")
        return recent
    }

    func leave(_ member: WebSocketHandle) {
        guard let name = state.withLock({ $0.members.removeValue(forKey: member) }) else { return }
        say("* \(name) has gone")
    }

    func say(_ text: String) {
        let members = state.withLock { state in
            state.recent = state.recent.suffix(49) + [text]
            return Array(state.members.keys)
        }
        WebSocketHandle.send(text, to: members)
    }
}

let room = Room()
var router = Router()

router.get("/") { request, response in
    response.headers["content-type"] = "text/html; charset=utf-8"
    response.headers["content-security-policy"] = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
    response.write(page)
}

router.get("/chat") { request, response in
    let name = String((request.query?.formValue("name")?.formDecoded ?? "").prefix(30))
    guard !name.isEmpty else { throw HTTPError(.badRequest, "who are you? /chat?name=…") }
    var options = WebSocketOptions()
    options.limits.messageBytes = 4096
    options.compression = .on
    response.webSocket(options) { socket, event in
        switch event {
        case .opened: for line in room.join(socket.handle, name) { socket.send(line) }
        case .message(let message): room.say("\(name): \(message.text)")
        case .writable: break
        case .closed: room.leave(socket.handle)
        }
    }
}

var options = ServerOptions()
options.loops = .count(4)
let address = CommandLine.arguments.dropFirst().first ?? "127.0.0.1:8080"
try Server(listen: [address], options: options, router: router).run()
