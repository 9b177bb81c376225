// jwtjson-bench: what bench/jwtjson/run measures: a token (HS256; signature, exp, iss, aud) and a JSON answer with its subject. One loop, a free port of 127.0.0.1.
//
//   jwtjson-bench SECRET             in clear
//   jwtjson-bench SECRET CERT KEY    with TLS; both in PEM

import UringServer
import UringServerJWT

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count == 1 || arguments.count == 3 else { fatalError("usage: jwtjson-bench SECRET [CERT KEY]") }

var options = ServerOptions()
options.loops = .count(1)
options.timeouts.idle = .seconds(600)

var rules = JWTOptions(audience: .oneOf(["orders"]))
rules.issuers = ["https://issuer.example"]
// golang-jwt allows none.
rules.leeway = .zero

var router = Router()
router.use(try .jwt(try .secret(Array(arguments[0].utf8)), rules))
router.get("/") { _, response in
    guard let subject = response.claims?.subject else { throw HTTPError(.forbidden) }
    response.json { json in
        json["status"] = "ok"
        json["subject"] = subject
    }
}
var listeners: [Listener] = ["127.0.0.1:0"]
if arguments.count == 3 { listeners = [Listener("127.0.0.1:0", tls: .files(cert: arguments[1], key: arguments[2]))] }
try Server(listeners: listeners, options: options, application: Application(router: router)).run()
