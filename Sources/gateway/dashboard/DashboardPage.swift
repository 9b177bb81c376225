// DashboardPage: the answer to /dashboard: one page with its style and script in it, which asks for nothing else but its events. It has no data, so that it may be sent to anybody; with
// `admin.tokens` its script asks for a token. The administration's loop.

internal import Glibc
internal import UringServer

enum DashboardPage {
    static func write(to response: inout Response) {
        let nonce = makeNonce()
        response.headers["content-type"] = "text/html; charset=utf-8"
        // Nothing but what stands in this very response may run (Content Security Policy Level 3, section 2.3.1).
        response.headers["content-security-policy"] =
            "default-src 'none'; script-src 'nonce-\(nonce)'; style-src 'nonce-\(nonce)'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["referrer-policy"] = "no-referrer"
        response.write(head)
        response.write("<style nonce=\"\(nonce)\">")
        response.write(style)
        response.write("</style>\n</head>\n")
        response.write(body)
        response.write("<script nonce=\"\(nonce)\">\n\"use strict\"\n")
        response.write(charts)
        response.write(script)
        response.write("</script>\n</body>\n</html>\n")
    }

    /// 128 random bits in hexadecimal.
    private static func makeNonce() -> String {
        var generator = SystemRandomNumberGenerator()
        let digits = String(generator.next() | 1 << 63, radix: 16) + String(generator.next() | 1 << 63, radix: 16)
        return digits
    }

    private static let head: StaticString = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>uringd</title>
        <link rel="icon" href="data:,">

        """

    private static let body: StaticString = """
        <body>
        <header>
          <h1>uringd <span id="version"></span></h1>
          <p id="status" role="status">connecting …</p>
          <form id="controls">
            <label>show <select id="span"><option value="60">1 minute</option><option value="180">3 minutes</option><option value="300" selected>5 minutes</option></select></label>
            <button type="button" id="pause" aria-pressed="false">pause</button>
            <button type="button" id="flight" title="the last events of all loops, as lines of JSON">flight recorder</button>
            <button type="button" id="theme">dark / light</button>
          </form>
        </header>
        <form id="login" hidden>
          <label>This server asks for a token: <input id="token" type="password" autocomplete="off" required></label> <button>go on</button> <span id="refused" role="alert"></span>
        </form>
        <main id="main">
          <dl id="tiles">
            <div><dt>requests / s</dt><dd id="tile-rate">–</dd></div>
            <div><dt>5xx</dt><dd id="tile-errors">–</dd></div>
            <div><dt>p50</dt><dd id="tile-p50">–</dd></div>
            <div><dt>p99</dt><dd id="tile-p99">–</dd></div>
            <div><dt>connections</dt><dd id="tile-connections">–</dd></div>
            <div><dt>CPU</dt><dd id="tile-cpu">–</dd></div>
            <div><dt>CPU / request</dt><dd id="tile-cost">–</dd></div>
            <div><dt>memory</dt><dd id="tile-memory">–</dd></div>
          </dl>
          <div class="grid">
            <figure><figcaption>Requests per second, by class of the status</figcaption><canvas id="requests" tabindex="0"></canvas><ul class="legend" id="requests-legend"></ul></figure>
            <figure><figcaption>Latency: requests by duration</figcaption><canvas id="latency" tabindex="0"></canvas><ul class="legend" id="latency-legend"></ul></figure>
            <figure><figcaption>Cost per request, by layer (µs of CPU, from a sample of turns)</figcaption><canvas id="layers" tabindex="0"></canvas><ul class="legend" id="layers-legend"></ul></figure>
            <figure><figcaption>Round trips to clients (TCP, <span id="rtt-source">from a sample of connections</span>) <select id="rtt-port" aria-label="port" hidden><option value="all">all</option></select></figcaption><canvas id="rtt" tabindex="0"></canvas><ul class="legend" id="rtt-legend"></ul></figure>
            <figure><figcaption>Connections, by what they are doing (from a sample)</figcaption><canvas id="activities" tabindex="0"></canvas><ul class="legend" id="activities-legend"></ul></figure>
            <figure><figcaption>Loop lag: mean work of a turn, by loop (µs)</figcaption><canvas id="lag" tabindex="0"></canvas><ul class="legend" id="lag-legend"></ul></figure>
            <figure><figcaption>TLS handshakes per second, by kind</figcaption><canvas id="tls" tabindex="0"></canvas><ul class="legend" id="tls-legend"></ul></figure>
            <figure><figcaption>Connections per second</figcaption><canvas id="churn" tabindex="0"></canvas><ul class="legend" id="churn-legend"></ul></figure>
          </div>
          <section><h2>Routes</h2><div class="wide"><table id="routes"></table></div></section>
          <section><h2>Upstreams</h2><div class="wide"><table id="upstreams"></table></div></section>
          <section><h2>Breakers and surges</h2><div class="wide"><table id="breakers"></table></div></section>
          <section><h2>Loops</h2><div class="wide"><table id="loops"></table></div></section>
          <section><h2>TCP, by port</h2><div class="wide"><table id="tcp"></table></div></section>
          <section><h2>Stalls, by route</h2><div class="wide"><table id="stalls"></table></div></section>
          <section><h2>Messages</h2><ol id="events"></ol></section>
        </main>

        """
}
