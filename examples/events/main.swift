// Server-sent events: what one client says, all others see at once. A listener is a response whose producer waits; whoever has news wakes it from any thread
// with its ExchangeHandle.
//
//     swift run events                         open http://127.0.0.1:8080/ in two windows, or
//                                              curl -N http://127.0.0.1:8080/events
//                                              curl -d 'hello' http://127.0.0.1:8080/say

import Synchronization
import UringServer

/// Everybody who listens.
final class Room: Sendable {
    /// A listener's queue. Held by its producer alone, so that it goes when the client does.
    final class Seat: Sendable {
        private let room: Room
        private let id: Int
        private let exchange: ExchangeHandle
        private let news = Mutex<[String]>([])

        fileprivate init(_ room: Room, _ id: Int, _ exchange: ExchangeHandle) { (self.room, self.id, self.exchange) = (room, id, exchange) }
        deinit { room.leave(id) }

        fileprivate func tell(_ text: String) {
            // Who does not read for so long misses the rest: memory stays bounded.
            news.withLock { if $0.count < 1000 { $0.append(text) } }
            exchange.resume()
        }

        /// What was said since this was asked last.
        func takeNews() -> [String] {
            news.withLock { news in
                defer { news = [] }
                return news
            }
        }
    }

    private struct WeakSeat { weak var seat: Seat? }
    private let seats = Mutex<(next: Int, taken: [Int: WeakSeat])>((0, [:]))

    func join(_ exchange: ExchangeHandle) -> Seat {
        seats.withLock { seats in
            let seat = Seat(self, seats.next, exchange)
            seats.taken[seats.next] = WeakSeat(seat: seat)
            seats.next += 1
            return seat
        }
    }

    private func leave(_ id: Int) { seats.withLock { _ = $0.taken.removeValue(forKey: id) } }

    /// How many have heard it.
    func say(_ text: String) -> Int {
        let seats = seats.withLock { $0.taken.values.compactMap(\.seat) }
        for seat in seats { seat.tell(text) }
        return seats.count
    }
}

let room = Room()
let page = SharedBytes(
    """
    <!doctype html><meta charset=utf-8><title>events</title>
    <form><input autofocus placeholder="say something"><button>say</button></form><ul></ul>
    <script>
    const list = document.querySelector('ul'), input = document.querySelector('input')
    new EventSource('/events').onmessage = event => list.prepend(Object.assign(document.createElement('li'), { textContent: event.data }))
    document.querySelector('form').onsubmit = event => {
        event.preventDefault()
        fetch('/say', { method: 'POST', body: input.value })
        input.value = ''
    }
    </script>
    """)

var router = Router()

router.get("/") { request, response in
    response.headers["content-type"] = "text/html; charset=utf-8"
    response.write(page)
}

router.get("/events") { request, response in
    response.headers["content-type"] = "text/event-stream"
    response.headers["cache-control"] = "no-store"
    response.disableTimeout()
    let seat = room.join(response.exchange)
    var isFirst = true
    response.stream { writer in
        for text in seat.takeNews() {
            for line in text.split(whereSeparator: \.isNewline) { writer.write("data: \(line)\n") }
            writer.write("\n")
        }
        // A comment tells the client that it is connected, and the server, every 15 seconds, that the client is still there.
        if writer.written == 0 { writer.write(isFirst ? ": welcome\n\n" : ": still here\n\n") }
        isFirst = false
        return .wait(milliseconds: 15_000)
    }
}

router.post("/say") { request, response in
    let count = room.say(String(request.body))
    response.json { json in json["heard"] = count }
}

let address = CommandLine.arguments.dropFirst().first ?? "127.0.0.1:8080"
try Server(listen: [address], router: router).run()
