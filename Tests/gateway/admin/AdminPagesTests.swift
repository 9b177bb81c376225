// The administration's other pages: who may ask, what they say, reloads. Over the wire.

import Testing
import TestSupport
@testable import UringGateway

@Suite struct AdminPagesTests {
    @Test func pagesMethodsAndProblems() throws {
        let served = try AdminGateway("")
        #expect(try served.ask("/livez").bodyText == "ok\n")
        #expect(try served.ask("/readyz").bodyText == "ok\n")
        for page in ["metrics", "config", "version", "upstreams"] {
            #expect(try served.ask("/" + page).status == 200)
            #expect(try served.ask("/" + page, method: "HEAD").status == 200)
            let refused = try served.ask("/" + page, "Content-Length: 0\r\n", method: "POST")
            #expect(refused.status == 405 && refused.value("allow") == "GET, HEAD, OPTIONS")
        }
        let reload = try served.ask("/reload")
        #expect(reload.status == 405 && reload.value("allow") == "POST, OPTIONS")
        #expect(reload.value("content-type") == "application/problem+json" && reload.bodyText.contains("\"status\": 405"))
        let missing = try served.ask("/nothing")
        #expect(missing.status == 404 && missing.bodyText.contains("/metrics"))
        #expect(missing.value("cache-control") == "no-store")
        #expect(try served.ask("/config", method: "OPTIONS").status == 204)
        #expect(try served.ask("/version").bodyText.contains("\"version\": \"\(GatewayVersion.current)\""))
    }

    @Test func configurationHasNoSecrets() throws {
        let served = try AdminGateway("admin: { address: \"127.0.0.1:0\", tokens: [a-token-of-sixteen-bytes] }")
        let response = try served.ask("/config", "Authorization: Bearer a-token-of-sixteen-bytes\r\n")
        #expect(response.status == 200 && response.value("content-type") == "application/json")
        #expect(response.bodyText.contains("\"hello\"") && !response.bodyText.contains("a-token"))
    }

    @Test func tokensOpenEverythingButProbes() throws {
        let served = try AdminGateway("admin: { address: \"127.0.0.1:0\", tokens: [the-first-token-of-all, another-token-of-ours] }")
        #expect(try served.ask("/livez").status == 200)
        #expect(try served.ask("/readyz").status == 200)
        for path in ["/metrics", "/config", "/nothing"] {
            let refused = try served.ask(path)
            #expect(refused.status == 401 && refused.value("www-authenticate") == "Bearer")
            let wrong = try served.ask(path, "Authorization: Bearer the-first-token-of-al\r\n")
            #expect(wrong.status == 401 && wrong.value("www-authenticate") == "Bearer error=\"invalid_token\"")
        }
        #expect(try served.ask("/reload", "Content-Length: 0\r\n", method: "POST").status == 401)
        for token in ["the-first-token-of-all", "another-token-of-ours"] {
            #expect(try served.ask("/metrics", "Authorization: bearer \(token)\r\n").status == 200)
        }
        // A reload changes who may.
        served.later.text = "admin: { address: \"127.0.0.1:0\", tokens: [a-third-token-instead] }"
        #expect(try served.ask("/reload", "Authorization: Bearer another-token-of-ours\r\nContent-Length: 0\r\n", method: "POST").status == 200)
        #expect(try served.ask("/metrics", "Authorization: Bearer another-token-of-ours\r\n").status == 401)
        #expect(try served.ask("/metrics", "Authorization: Bearer a-third-token-instead\r\n").status == 200)
    }

    @Test func tokensAreComparedWhole() {
        let token = Array("0123456789abcdef".utf8)
        #expect(AdminContext.isEqual(token, token))
        for other in ["", "0", "0123456789abcde", "0123456789abcdeg", "0123456789abcdef0", "0123456789abcdef0123456789abcdef"] {
            #expect(!AdminContext.isEqual(token, Array(other.utf8)))
        }
        #expect(!AdminContext.isEqual([], []))
    }

    // MARK: reload

    private func reload(_ served: AdminGateway, _ query: String = "", _ fields: String = "") throws -> RawResponse {
        try served.ask("/reload" + query, "Content-Length: 0\r\n" + fields, method: "POST")
    }

    @Test func aPlanChangesNothing() throws {
        let served = try AdminGateway("")
        served.later.text = "routes: [{ name: other, match: { path: /hello }, respond: { body: other } }]"
        let plan = try reload(served, "?plan")
        #expect(plan.status == 200 && plan.bodyText.contains("\"applied\": false") && plan.bodyText.contains("\"name\": \"other\""))
        #expect(try served.get("/hello").bodyText == "hello")
        let done = try reload(served)
        #expect(done.status == 200 && done.bodyText.contains("\"applied\": true") && done.bodyText.contains("\"change\": \"removed\""))
        #expect(try served.get("/hello").bodyText == "other")
        #expect(try reload(served, "?plna").status == 400)
    }

    @Test func everyProblemIsToldAndNothingChanges() throws {
        let served = try AdminGateway("")
        served.later.text = "bogus: 1\ntimeouts: { idle: never }"
        for query in ["", "?plan"] {
            let refused = try reload(served, query)
            #expect(refused.status == 422 && refused.value("content-type") == "application/problem+json")
            #expect(refused.bodyText.contains("bogus") && refused.bodyText.contains("idle") && refused.bodyText.contains("\"line\": 4"))
        }
        #expect(try served.get("/hello").bodyText == "hello")
        let page = try served.ask("/metrics").bodyText
        #expect(served.sample(#"uringd_config_reloads_total{result="failure"}"#, in: page) == 1)
        #expect(served.sample("uringd_config_last_reload_successful", in: page) == 0)
    }

    @Test func whatCannotBeOpenedIsAConflict() throws {
        let served = try AdminGateway("")
        served.later.text = "access-log: { path: /dev/full/none }"
        let refused = try reload(served)
        #expect([409, 422].contains(refused.status))
        #expect(try served.get("/hello").bodyText == "hello")
    }

    @Test func pagesOfABrowserMayNotReload() throws {
        let served = try AdminGateway("")
        #expect(try reload(served, "", "Origin: http://evil.example\r\n").status == 403)
        #expect(try reload(served, "", "Sec-Fetch-Site: cross-site\r\n").status == 403)
    }

    /// The administration that was asked is the one that goes: the answer comes all the same.
    @Test func theAdministrationMayMove() throws {
        let served = try AdminGateway("")
        served.later.text = "admin: { address: \"unix:\(served.file("admin.sock"))\" }"
        #expect(try reload(served).status == 200)
        #expect(try AdminGateway.ask(.unix(path: served.file("admin.sock")), "/readyz").status == 200)
    }
}
