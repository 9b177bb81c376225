// The dashboard's script: reads the samples (DashboardSample has their members), makes of two that follow each other what happened between them, and shows the last minutes of that.

extension DashboardPage {
    static let script: StaticString = #"""
        let hello = null, previous = null, frames = [], paused = false, messages = [], lastID = "", sorting = {}
        const framesMax = 300
        const classes = ["1xx", "2xx", "3xx", "4xx", "5xx"], classColours = ["--s8", "--s1", "--s0", "--s2", "--s4"]
        const palette = ["--s0", "--s1", "--s2", "--s3", "--s5", "--s6", "--s7", "--s8", "--s9"]
        const sum = values => values.reduce((a, b) => a + b, 0)
        // Counters begin anew with the process: then there is nothing to compare with.
        const less = (now, before) => now.map((value, index) => Math.max(0, value - (before?.[index] ?? 0)))
        const byName = (list, key) => new Map(list.map(item => [item[key], item]))

        // The duration that a share of requests does not exceed, in ns; the bucket's upper bound, as Prometheus would have it, within it in proportion.
        const percentile = (buckets, share) => {
          const all = sum(buckets)
          if (!all) return null
          let left = all * share
          for (let index = 0; index < buckets.length; index++) {
            if (left <= buckets[index]) {
              const low = index ? hello.bounds[index - 1] : 0, high = hello.bounds[index] ?? hello.bounds.at(-1)
              return low + (high - low) * (buckets[index] ? left / buckets[index] : 1)
            }
            left -= buckets[index]
          }
          return hello.bounds.at(-1)
        }

        // What happened between two samples, per second where it says so.
        function frame(now, before) {
          const seconds = (now.t - before.t) / 1000, old = byName(before.routes, "name"), oldLoops = byName(before.loops, "n")
          const routes = now.routes.map(route => {
            const was = old.get(route.name)
            const c = less(route.c, was?.c), b = less(route.b, was?.b)
            return { name: route.name, c, b, rate: sum(c) / seconds, bytes: Math.max(0, route.bytes - (was?.bytes ?? 0)) / seconds, total: sum(route.c) }
          })
          const loops = now.loops.map(loop => {
            const was = oldLoops.get(loop.n)
            const mean = name => { const n = loop[name].n - (was?.[name].n ?? 0); return n > 0 ? (loop[name].sum - (was?.[name].sum ?? 0)) / n : 0 }
            const per = name => Math.max(0, loop[name] - (was?.[name] ?? 0)) / seconds
            return {
              n: loop.n, conn: loop.conn, rate: per("requests"), accepted: per("accepted"), closed: per("closed"), refused: per("refused"), aborted: per("aborted"), faults: per("faults"),
              depth: mean("depth"), batch: mean("batch"), lag: mean("lag") / 1000, lag99: loop.lag.p99, stalls: loop.stalls,
              phases: less(loop.phases.ns, was?.phases.ns), sampled: Math.max(0, loop.phases.requests - (was?.phases.requests ?? 0)), queue: loop.phases.queue,
              census: loop.census,
            }
          })
          const total = key => sum(loops.map(loop => loop[key]))
          const sampled = total("sampled"), connections = total("conn")
          const census = hello.activities.map((_, index) => sum(loops.map(loop => loop.census.sample ? loop.census.counts[index] / loop.census.sample * loop.conn : 0)))
          const b = hello.bounds.concat(0).map((_, index) => sum(routes.map(route => route.b[index])))
          const c = classes.map((_, index) => sum(routes.map(route => route.c[index])) / seconds)
          return {
            t: now.t, seconds, routes, loops, c, b, rate: sum(c), connections, census, sampled,
            phases: hello.phases.map((_, index) => sampled ? sum(loops.map(loop => loop.phases[index])) / sampled / 1000 : 0),
            rtt: now.rtt, tcp: now.tcp, cpu: Math.max(0, now.process.cpu - before.process.cpu) / 1000 / seconds, rss: now.process.rss,
            tls: Object.fromEntries(Object.entries(now.tls).map(([kind, count]) => [kind, Math.max(0, count - before.tls[kind]) / seconds])),
            accepted: total("accepted"), closed: total("closed"), refused: total("refused"), aborted: total("aborted"),
            upstreams: now.upstreams.map(upstream => {
              const was = before.upstreams.find(other => other.name === upstream.name), servers = byName(was?.servers ?? [], "address")
              return {
                name: upstream.name, retries: Math.max(0, upstream.retries - (was?.retries ?? 0)) / seconds,
                servers: upstream.servers.map(server => {
                  const last = servers.get(server.address), c = less(server.c, last?.c), heads = sum(c)
                  return { ...server, rate: Math.max(0, server.requests - (last?.requests ?? 0)) / seconds, heads, errors: c[4], failed: Math.max(0, server.failures - (last?.failures ?? 0)) / seconds,
                    mean: heads ? (server.ns - (last?.ns ?? 0)) / heads : null }
                }),
              }
            }),
          }
        }

        // Of the port that is chosen; each server's port has its own heat map.
        const trips = frame => {
          const chosen = $("rtt-port").value
          return chosen === "all" ? frame.rtt : frame.tcp.ports.find(port => port.side + " " + port.port === chosen)?.rtt ?? []
        }

        function ports(tcp) {
          const list = $("rtt-port"), wanted = ["all", ...tcp.ports.filter(port => port.port).map(port => port.side + " " + port.port)]
          list.hidden = tcp.source !== "ebpf"
          $("rtt-source").textContent = tcp.source === "ebpf" ? "every one, counted in the kernel" : "from a sample of connections"
          if (wanted.join() === [...list.options].map(option => option.value).join()) return
          const was = list.value
          list.replaceChildren(...wanted.map(value => new Option(value === "all" ? "all ports of this server" : value.replace("server", "port").replace("client", "to port"), value)))
          list.value = wanted.includes(was) ? was : "all"
        }

        const charts = {
          requests: new Chart("requests", areas(() => classes.map((name, index) => [name, frame => frame.c[index], classColours[index]]), value => number(value) + " / s")),
          latency: new Chart("latency", heat(() => hello.bounds.length + 1, frame => frame.b.map((n, row) => [row, n]).filter(([, n]) => n),
            () => [1, 4, 7, 10, 13, 16].map(row => [row, duration(hello.bounds[row - 1])]),
            frame => [["p50", duration(percentile(frame.b, 0.5))], ["p95", duration(percentile(frame.b, 0.95))], ["p99", duration(percentile(frame.b, 0.99))]])),
          layers: new Chart("layers", areas(() => hello.phases.map((name, index) => [name, frame => frame.phases[index], palette[index]]), value => number(value) + " µs")),
          rtt: new Chart("rtt", heat(() => hello.rttBuckets, frame => trips(frame),
            () => ["0.1 ms", "1 ms", "10 ms", "100 ms", "1 s"].map((text, index) => [index * 63.75, text]),
            frame => { const pairs = trips(frame), n = sum(pairs.map(pair => pair[1])); let left = n / 2; const at = pairs.find(pair => (left -= pair[1]) <= 0)
              return n ? [[frame.tcp.source === "ebpf" ? "round trips" : "connections", n], ["median", duration(hello.rttFirstUs * 1000 * (hello.rttLastUs / hello.rttFirstUs) ** (at[0] / (hello.rttBuckets - 1)))]] : [["no TCP connection at this moment", null]] })),
          activities: new Chart("activities", areas(() => hello.activities.map((name, index) => [name, frame => frame.census[index], palette[index]]))),
          lag: new Chart("lag", lines(() => (frames.at(-1)?.loops ?? []).map((loop, index) => [`loop ${loop.n}`, frame => frame.loops.find(other => other.n === loop.n)?.lag ?? 0, palette[index % 9]]), value => number(value) + " µs")),
          tls: new Chart("tls", areas(() => ["full", "fallback", "ticket", "sessionID", "psk", "failed", "abandoned"].map((kind, index) => [kind, frame => frame.tls[kind], ["--s0", "--s2", "--s1", "--s5", "--s7", "--s4", "--s8"][index]]), value => number(value) + " / s")),
          churn: new Chart("churn", lines(() => [["accepted", frame => frame.accepted, "--s0"], ["closed", frame => frame.closed, "--s8"], ["refused", frame => frame.refused, "--s4"], ["reset", frame => frame.aborted, "--s2"]], value => number(value) + " / s")),
        }

        // `columns`: [title, value to sort by, text, class]. The first column is text.
        function table(id, columns, rows, empty) {
          const element = $(id), order = sorting[id]
          if (order) { const value = columns[order.column][1]; rows = [...rows].sort((a, b) => { const [x, y] = [value(a), value(b)]; return (x < y ? -1 : x > y ? 1 : 0) * order.sign }) }
          if (element.dataset.columns !== String(columns.length)) {
            element.dataset.columns = columns.length
            const head = element.createTHead().insertRow()
            columns.forEach(([title], index) => {
              const cell = document.createElement("th"), button = document.createElement("button")
              cell.scope = "col"
              button.type = "button"
              button.textContent = title
              button.addEventListener("click", () => { const was = sorting[id]; sorting[id] = { column: index, sign: was?.column === index ? -was.sign : index ? -1 : 1 }; show() })
              cell.append(button)
              head.append(cell)
            })
            element.createTBody()
          }
          ;[...element.tHead.rows[0].cells].forEach((cell, index) => {
            if (order?.column === index) cell.setAttribute("aria-sort", order.sign < 0 ? "descending" : "ascending"); else cell.removeAttribute("aria-sort")
          })
          const body = element.tBodies[0]
          if (!rows.length) {
            const row = document.createElement("tr"), cell = row.insertCell()
            cell.colSpan = columns.length
            cell.className = "none"
            cell.textContent = empty
            return body.replaceChildren(row)
          }
          body.replaceChildren(...rows.map(item => {
            const row = document.createElement("tr")
            for (const [, value, text, kind] of columns) {
              const cell = row.insertCell()
              cell.textContent = text ? text(item) : value(item)
              const name = kind?.(item)
              if (name) cell.className = name
            }
            return row
          }))
        }

        // Sums over the last seconds, so that figures can be read.
        function recent(seconds) {
          const part = frames.slice(-seconds), rows = new Map()
          for (const item of part) for (const route of item.routes) {
            const row = rows.get(route.name) ?? { name: route.name, c: [0, 0, 0, 0, 0], b: route.b.map(() => 0), bytes: 0 }
            route.c.forEach((n, index) => row.c[index] += n)
            route.b.forEach((n, index) => row.b[index] += n)
            row.bytes += route.bytes * item.seconds
            row.total = route.total
            rows.set(route.name, row)
          }
          const length = sum(part.map(item => item.seconds)) || 1
          return [...rows.values()].map(row => ({ ...row, rate: sum(row.c) / length, bytes: row.bytes / length, errors: sum(row.c) ? row.c[4] / sum(row.c) : 0 }))
        }

        function tile(id, text, isBad) { $(id).textContent = text; $(id).classList.toggle("bad", Boolean(isBad)) }

        function show() {
          if (!hello || paused || !frames.length) return
          const span = Number($("span").value), end = frames.at(-1).t, shown = frames.filter(item => item.t >= end - span * 1000), last = frames.at(-1)
          for (const chart of Object.values(charts)) chart.show(shown, end, span)
          const rows = recent(10), b = hello.bounds.concat(0).map((_, index) => sum(rows.map(row => row.b[index]))), all = sum(rows.map(row => row.rate)), bad = sum(rows.map(row => row.rate * row.errors))
          tile("tile-rate", number(last.rate))
          tile("tile-errors", all ? (100 * bad / all).toFixed(bad ? 2 : 0) + " %" : "–", all && bad / all > 0.05)
          tile("tile-p50", duration(percentile(b, 0.5)))
          tile("tile-p99", duration(percentile(b, 0.99)))
          tile("tile-connections", number(last.connections), previous.limit && last.connections > 0.9 * previous.limit)
          tile("tile-cpu", (100 * last.cpu).toFixed(last.cpu < 0.1 ? 1 : 0) + " %")
          const few = frames.slice(-10), requests = sum(few.map(item => item.rate * item.seconds))
          tile("tile-cost", requests > 100 ? duration(1e9 * sum(few.map(item => item.cpu * item.seconds)) / requests) : "–")
          tile("tile-memory", bytes(last.rss))
          table("routes", [
            ["route", row => row.name], ["requests / s", row => row.rate, row => number(row.rate)], ["5xx", row => row.errors, row => (100 * row.errors).toFixed(row.errors ? 2 : 0) + " %", row => row.errors > 0.05 && "bad"],
            ["4xx / s", row => row.c[3], row => number(row.c[3] / 10)],
            ...[["p50", 0.5], ["p95", 0.95], ["p99", 0.99]].map(([name, share]) => [name, row => percentile(row.b, share) ?? -1, row => duration(percentile(row.b, share))]),
            ["sent / s", row => row.bytes, row => bytes(row.bytes)], ["requests", row => row.total, row => number(row.total)],
          ], rows, "no request yet")
          table("upstreams", [
            ["server", row => row.upstream + row.address, row => `${row.upstream}  ${row.address}`], ["state", row => row.state, null, row => row.state === "healthy" ? "good" : "bad"],
            ["connections", row => row.open, row => number(row.open)], ["waiting", row => row.waiting, row => number(row.waiting), row => row.waiting > 0 && "bad"],
            ["under way", row => row.active, row => number(row.active)], ["requests / s", row => row.rate, row => number(row.rate)], ["mean", row => row.mean ?? -1, row => duration(row.mean)],
            ["5xx", row => row.errors, row => row.heads ? (100 * row.errors / row.heads).toFixed(0) + " %" : "–"], ["failures / s", row => row.failed, row => number(row.failed), row => row.failed > 0 && "bad"], ["retries / s", row => row.retries, row => number(row.retries)],
          ], last.upstreams.flatMap(upstream => upstream.servers.map(server => ({ ...server, upstream: upstream.name, retries: upstream.retries }))), "no upstream is configured")
          table("loops", [
            ["loop", row => row.n], ["connections", row => row.conn, row => number(row.conn)], ["requests / s", row => row.rate, row => number(row.rate)], ["queue depth", row => row.depth, row => number(row.depth)],
            ["batch", row => row.batch, row => number(row.batch)], ["lag", row => row.lag, row => duration(row.lag * 1000)], ["lag p99, ever", row => row.lag99, row => duration(row.lag99)],
            ["wait p99, ever", row => row.queue.p99, row => duration(row.queue.n ? row.queue.p99 : null)], ["malformed / s", row => row.faults, row => number(row.faults)], ["stalls", row => row.stalls, row => number(row.stalls), row => row.stalls > 0 && "bad"],
          ], last.loops, "no loop runs")
          table("breakers", [
            ["breaker", row => row.group], ["state", row => row.state, row => row.state.replace("_", " ") + (row.dry ? ", dry run" : ""), row => ["closed", "steady"].includes(row.state) ? "good" : "bad"],
          ], previous.breakers.concat(previous.surge === undefined ? [] : [{ group: "connections", state: previous.surge ? "surge" : "steady", dry: false }]), "no breaker is configured")
          ports(last.tcp)
          table("tcp", [
            ["port", row => row.port + (row.side === "client" ? 0.5 : 0), row => (row.side === "client" ? "to " : "") + (row.port || "other")], ["begun", row => row.begun, row => number(row.begun)], ["established", row => row.established, row => number(row.established)],
            ["closed", row => row.closed, row => number(row.closed)], ["failed", row => row.failed, row => number(row.failed), row => row.failed > 0 && "bad"], ["retransmits", row => row.retransmits, row => number(row.retransmits), row => row.retransmits > 0 && "bad"],
            ["round trips", row => row.samples, row => number(row.samples)], ["p50, ever", row => row.p50 ?? -1, row => duration(row.p50 ?? null)], ["p99, ever", row => row.p99 ?? -1, row => duration(row.p99 ?? null)],
          ], last.tcp.ports, last.tcp.source === "ebpf" ? "no connection yet" : "admin.tcp-tracer is not on, or not permitted")
          table("stalls", [
            ["route", row => row.route], ["stalls", row => row.n], ["longest", row => row.max, row => duration(row.max)], ["last", row => row.last, row => new Date(row.last).toLocaleTimeString()],
          ], previous.stalls, "no handler has held a loop up")
          $("events").replaceChildren(...messages.slice(-50).reverse().map(line => {
            const item = document.createElement("li"), time = document.createElement("time")
            time.textContent = new Date(line.t).toLocaleTimeString()
            item.className = line.level
            item.append(time, line.text)
            return item
          }))
        }

        function status(text, isBad) { $("status").textContent = text; $("status").classList.toggle("bad", Boolean(isBad)) }

        function receive(kind, id, data) {
          if (kind === "hello") {
            const next = JSON.parse(data)
            if (hello && (hello.start !== next.start || hello.pid !== next.pid)) { frames = []; previous = null; messages = [] }
            hello = next
            $("version").textContent = `${hello.version} · ${hello.backend} · ${hello.loops} ${hello.loops === 1 ? "loop" : "loops"} · process ${hello.pid}`
            return
          }
          if (!hello) return
          lastID = id
          const sample = JSON.parse(data)
          for (const line of sample.events) if (!messages.length || line.n > messages.at(-1).n) messages.push(line)
          messages = messages.slice(-50)
          if (previous && sample.t > previous.t) { frames.push(frame(sample, previous)); if (frames.length > framesMax) frames.shift() }
          previous = sample
          const up = Math.max(0, Math.round((sample.t - hello.start) / 1000)), hours = Math.floor(up / 3600)
          status(`${sample.ready ? "ready" : "not ready"} · up ${hours ? hours + " h " : ""}${Math.floor(up / 60) % 60} min · ${sample.reloads.ok} reloads${sample.reloads.good ? "" : ", the last one failed"}`, !sample.ready || !sample.reloads.good)
          schedule()
        }

        let scheduled = false
        function schedule() {
          if (scheduled) return
          scheduled = true
          requestAnimationFrame(() => { scheduled = false; show() })
        }

        // Server-sent events by fetch: EventSource cannot send a token.
        async function listen() {
          const headers = lastID ? { "last-event-id": lastID } : {}, token = sessionStorage.getItem("token")
          if (token) headers.authorization = "Bearer " + token
          const answer = await fetch("dashboard/events", { headers, cache: "no-store" })
          if (answer.status === 401) { $("refused").textContent = token ? "that is none of the tokens" : ""; return login() }
          if (!answer.ok) throw new Error(`the server answers ${answer.status}`)
          $("login").hidden = true
          $("main").hidden = false
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
          let rest = ""
          for (;;) {
            const { value, done } = await reader.read()
            if (done) throw new Error("the connection has ended")
            const blocks = (rest + value).split("\n\n")
            rest = blocks.pop()
            for (const block of blocks) {
              let kind = "message", id = lastID, data = ""
              for (const line of block.split("\n")) {
                if (line.startsWith("event: ")) kind = line.slice(7)
                else if (line.startsWith("id: ")) id = line.slice(4)
                else if (line.startsWith("data: ")) data += line.slice(6)
              }
              if (data) receive(kind, id, data)
            }
          }
        }

        function login() { $("login").hidden = false; $("main").hidden = true; status("a token is needed"); $("token").focus() }

        async function go() {
          for (;;) {
            try { await listen(); return } catch (error) { status(`${error.message}: trying again`, true) }
            await new Promise(resolve => setTimeout(resolve, 1000))
          }
        }

        $("login").addEventListener("submit", event => { event.preventDefault(); sessionStorage.setItem("token", $("token").value); $("token").value = ""; go() })
        $("pause").addEventListener("click", () => { paused = !paused; $("pause").setAttribute("aria-pressed", paused); show() })
        $("theme").addEventListener("click", () => {
          const isDark = matchMedia("(prefers-color-scheme: dark)").matches !== document.documentElement.matches(".light, .dark")
          const next = document.documentElement.classList.contains("dark") ? "light" : document.documentElement.classList.contains("light") ? "dark" : isDark ? "light" : "dark"
          document.documentElement.className = next
          schedule()
        })
        // By fetch: a link cannot carry a token.
        $("flight").addEventListener("click", async () => {
          const token = sessionStorage.getItem("token")
          try {
            const answer = await fetch("flight-recorder", { headers: token ? { authorization: "Bearer " + token } : {}, cache: "no-store" })
            if (!answer.ok) throw new Error((await answer.json()).detail)
            const link = document.createElement("a")
            link.href = URL.createObjectURL(await answer.blob())
            link.download = `uringd-flight-${new Date().toISOString()}.jsonl`
            link.click()
            URL.revokeObjectURL(link.href)
          } catch (error) { status(`flight recorder: ${error.message}`, true) }
        })
        $("span").addEventListener("change", schedule)
        $("rtt-port").addEventListener("change", schedule)
        addEventListener("resize", schedule)
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", schedule)
        go()

        """#
}
