// The smallest server with a route. It says where it listens, and drains on SIGTERM.
//
//     swift run hello                          curl http://127.0.0.1:8080/hello/world

import UringServer

var router = Router()
router.get("/hello/{name}") { request, response in
    guard let name = request.parameter("name") else { return }
    response.headers["content-type"] = "text/plain; charset=utf-8"
    response.write("hello, ")
    response.write(name)          // a view of the request's bytes: copied to the response, and nowhere else
    response.write("\n")
}

let address = CommandLine.arguments.dropFirst().first ?? "127.0.0.1:8080"
try Server(listen: [address], router: router).run()
