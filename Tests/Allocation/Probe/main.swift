// alloc-probe: a server whose handler reads a request header and writes JSON, for counting what a request costs. Tests/Allocation/run
// starts it, loads it and judges. One loop, a free port of 127.0.0.1; prints the line `listening on …` that every server prints.
//
//   alloc-probe               `GET /counts` answers with what the process has counted (CAllocationCount)
//   alloc-probe --waste       the handler makes a String of the header: what the counters must notice

import CAllocationCount
import UringServer

let arguments = Set(CommandLine.arguments.dropFirst())
guard arguments.isSubset(of: ["--waste"]) else { fatalError("usage: alloc-probe [--waste]") }
let wastes = arguments.contains("--waste")

var options = ServerOptions()
options.loops = .count(1)
options.timeouts.idle = .seconds(600)

let server = Server(listen: ["127.0.0.1:0"], options: options) { request, response in
    if request.path == "/counts" {
        let counts = ac_read()
        response.json { json in
            json.set("allocations", counts.allocations)
            json.set("frees", counts.frees)
            json.set("retains", counts.retains)
            json.set("releases", counts.releases)
        }
        return
    }
    if request.path == "/text" {
        response.headers["content-type"] = "application/json"
        response.write(#"{"status":"ok","agent":""#)
        if let agent = request.headers["user-agent"] { response.write(agent) }
        return response.write(#""}"#)
    }
    response.json { json in
        json["status"] = "ok"
        if wastes, let agent = request.headers["user-agent"] { json["agent"] = String(agent) + "." } else { json["agent"] = request.headers["user-agent"] }
    }
}
try server.run()
