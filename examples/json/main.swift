// A JSON interface to a list that lives in memory: the loops share it behind a lock that is held for a moment.
//
//     swift run json                           curl -X POST -d '{"title":"milk"}' http://127.0.0.1:8080/todos
//                                              curl http://127.0.0.1:8080/todos

import FoundationEssentials
import Synchronization
import UringServer

struct Todo {
    let id: Int
    var title: String
    var isDone = false

    func write(to json: inout JSONObject) {
        json["id"] = id
        json["title"] = title
        json["done"] = isDone
    }
}

/// What clients send. Fields that are missing stay as they are.
struct Change: Decodable {
    var title: String?
    var done: Bool?

    init(_ request: borrowing Request) throws {
        guard let change = try? JSONDecoder().decode(Change.self, from: Data([UInt8](request.body))) else {
            throw HTTPError(.badRequest, "expected an object with title (text) and done (true or false)")
        }
        self = change
    }
}

final class Todos: Sendable {
    private let list = Mutex<(next: Int, byID: [Int: Todo])>((1, [:]))

    var all: [Todo] { list.withLock { $0.byID.values.sorted { $0.id < $1.id } } }

    func add(_ title: String) -> Todo {
        list.withLock { list in
            let todo = Todo(id: list.next, title: title)
            list.byID[todo.id] = todo
            list.next += 1
            return todo
        }
    }

    func change(_ id: Int, _ change: Change) -> Todo? {
        list.withLock { list in
            guard var todo = list.byID[id] else { return nil }
            todo.title = change.title ?? todo.title
            todo.isDone = change.done ?? todo.isDone
            list.byID[id] = todo
            return todo
        }
    }

    func remove(_ id: Int) -> Bool { list.withLock { $0.byID.removeValue(forKey: id) != nil } }
}

func id(_ request: borrowing Request) throws -> Int {
    guard let text = request.parameter("id"), let id = Int(String(text)) else { throw HTTPError(.notFound, "an id is a number") }
    return id
}

let todos = Todos()
var router = Router()
router.use(.problemDetails)          // errors get a JSON body (RFC 9457)

router.get("/todos") { request, response in
    let all = todos.all
    response.jsonArray { items in
        for todo in all { items.object { json in todo.write(to: &json) } }
    }
}

router.post("/todos") { request, response in
    guard let title = try Change(request).title, !title.isEmpty else { throw HTTPError(.unprocessableContent, "a todo needs a title") }
    let todo = todos.add(title)
    response.status = .created
    response.headers["location"] = "/todos/\(todo.id)"
    response.json { json in todo.write(to: &json) }
}

router.patch("/todos/{id}") { request, response in
    guard let todo = try todos.change(id(request), Change(request)) else { throw HTTPError(.notFound, "no such todo") }
    response.json { json in todo.write(to: &json) }
}

router.delete("/todos/{id}") { request, response in
    guard try todos.remove(id(request)) else { throw HTTPError(.notFound, "no such todo") }
    response.status = .noContent
}

let address = CommandLine.arguments.dropFirst().first ?? "127.0.0.1:8080"
try Server(listen: [address], router: router).run()
