import UringServer
let server = Server(listen: ["127.0.0.1:8080"]) { request, response in
    response.headers["content-type"] = "application/json"
    response.write(#"{"status":"ok"}"#)
}
try server.run()
