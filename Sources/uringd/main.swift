import Glibc
import UringServer
let server = Server(listen: [CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : "127.0.0.1:8080"]) { request, response in
    response.headers["content-type"] = "application/json"
    response.write(#"{"status":"ok"}"#)
}
try server.run()
