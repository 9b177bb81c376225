// A JSON interface for those who have a token: who asks and what they may do are claims that somebody else has signed (RFC 7519).
//
//     JWT_SECRET=… swift run jwt               curl -H "Authorization: Bearer $token" http://127.0.0.1:8080/api/me

import FoundationEssentials
import UringServer
import UringServerJWT

/// Shared with whoever issues the tokens: 32 random bytes at least. Where the issuer is somebody else, keys are public ones: `JWTKeys.jwks`, `JWTKeys.pem`.
guard let secret = ProcessInfo.processInfo.environment["JWT_SECRET"] else { fatalError("JWT_SECRET is not set: the secret that tokens are signed with") }

var rules = JWTOptions(audience: .oneOf(["notes"]))
rules.issuers = ["https://issuer.example"]
rules.algorithms = [.hs256]          // whatever else the secret would do for
rules.leeway = .seconds(5)
rules.realm = "notes"

/// What handlers want to know of a token. Claims are views that go with the response; this is a copy.
struct Caller {
    let name: String
    let expires: Int
    let mayWrite: Bool

    init(_ response: borrowing Response) throws {
        guard let claims = response.claims, let subject = claims.subject, let expires = claims.expires else { throw HTTPError(.forbidden, "the token is nobody's") }
        (name, self.expires, mayWrite) = (String(subject), Int(expires), claims.hasScope("notes:write"))
    }
}

var router = Router()
router.use(.problemDetails)
router.get("/") { request, response in response.write("ask for /api/me with a token\n") }

try router.group("/api") { api in
    api.use(try .jwt(try .secret(Array(secret.utf8)), rules))

    api.get("/me") { request, response in
        let caller = try Caller(response)
        response.json { json in
            json["subject"] = caller.name
            json["expires"] = caller.expires
            json["writes"] = caller.mayWrite
        }
    }

    api.delete("/notes") { request, response in
        guard try Caller(response).mayWrite else { throw HTTPError(.forbidden, "the token does not allow writing") }
        response.status = .noContent
    }
}

let address = CommandLine.arguments.dropFirst().first ?? "127.0.0.1:8080"
try Server(listen: [address], router: router).run()
