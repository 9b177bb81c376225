// The dashboard's charts: stacked areas, lines and heat maps over time, drawn on canvases. What the pointer or the arrow keys are at is told in the legend, which is text.

extension DashboardPage {
    static let charts: StaticString = #"""
        const $ = id => document.getElementById(id)
        // light-dark() is resolved where a property of an element uses it.
        const probe = document.createElement("i")
        document.body.append(probe)
        probe.hidden = true
        const colour = name => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color }

        const number = (value, digits = 3) => {
          if (!isFinite(value)) return "–"
          if (value === 0) return "0"
          const size = Math.abs(value)
          if (size >= 1e9) return (value / 1e9).toPrecision(digits) + " G"
          if (size >= 1e6) return (value / 1e6).toPrecision(digits) + " M"
          if (size >= 1e4) return (value / 1e3).toPrecision(digits) + " k"
          return size >= 100 ? value.toFixed(0) : size >= 0.01 ? String(+value.toPrecision(digits)) : "< 0.01"
        }
        const bytes = value => value >= 2 ** 30 ? (value / 2 ** 30).toFixed(2) + " GiB" : value >= 2 ** 20 ? (value / 2 ** 20).toFixed(1) + " MiB" : (value / 1024).toFixed(1) + " KiB"
        const duration = ns => {
          if (ns === null || !isFinite(ns)) return "–"
          if (ns >= 1e9) return (ns / 1e9).toPrecision(3) + " s"
          if (ns >= 1e6) return (ns / 1e6).toPrecision(3) + " ms"
          return (ns / 1e3).toPrecision(3) + " µs"
        }

        class Chart {
          constructor(id, draw) {
            this.canvas = $(id)
            this.legend = $(id + "-legend")
            this.draw = draw
            this.at = null
            this.canvas.setAttribute("role", "img")
            this.canvas.setAttribute("aria-label", this.canvas.previousElementSibling.textContent + ". Arrow keys move in time; the values are in the list below.")
            this.canvas.addEventListener("pointermove", event => this.point(event.offsetX))
            this.canvas.addEventListener("pointerleave", () => { this.at = null; this.paint() })
            this.canvas.addEventListener("blur", () => { this.at = null; this.paint() })
            this.canvas.addEventListener("keydown", event => {
              const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
              if (!step) return
              event.preventDefault()
              const last = this.frames.length - 1
              this.at = Math.max(0, Math.min(last, (this.at ?? last) + step))
              this.paint()
            })
            this.frames = []
          }
          show(frames, end, span) { Object.assign(this, { frames, end, span }); if (this.at >= frames.length) this.at = null; this.paint() }
          point(x) {
            const time = this.end - this.span * 1000 * (1 - (x - this.left) / this.width)
            let best = null
            this.frames.forEach((frame, index) => { if (best === null || Math.abs(frame.t - time) < Math.abs(this.frames[best].t - time)) best = index })
            this.at = best
            this.paint()
          }
          paint() {
            const ratio = devicePixelRatio || 1, box = this.canvas.getBoundingClientRect()
            if (!box.width) return
            this.canvas.width = box.width * ratio
            this.canvas.height = box.height * ratio
            const c = this.c = this.canvas.getContext("2d")
            c.scale(ratio, ratio)
            c.font = "11px system-ui, sans-serif"
            Object.assign(this, { left: 52, top: 6, width: box.width - 58, height: box.height - 26 })
            if (this.frames.length) this.draw(this)
            this.times()
          }
          x(t) { return this.left + this.width * (1 - (this.end - t) / (this.span * 1000)) }
          times() {
            const c = this.c
            c.fillStyle = colour("--dim")
            c.textAlign = "center"
            for (const part of [0, 0.25, 0.5, 0.75, 1]) {
              const seconds = Math.round(this.span * (1 - part))
              c.fillText(seconds ? `−${seconds} s` : "now", Math.min(this.left + this.width * part, this.left + this.width - 10), this.top + this.height + 16)
            }
            if (this.at !== null && this.frames[this.at]) {
              const x = this.x(this.frames[this.at].t)
              c.strokeStyle = colour("--ink")
              c.lineWidth = 1
              c.beginPath(); c.moveTo(x, this.top); c.lineTo(x, this.top + this.height); c.stroke()
            }
          }
          scale(max) {
            const c = this.c, raw = max > 0 ? max : 1, power = 10 ** Math.floor(Math.log10(raw)), top = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find(n => n * power >= raw) * power
            c.textAlign = "right"
            c.textBaseline = "middle"
            c.lineWidth = 1
            for (const part of [0, 0.5, 1]) {
              const y = this.top + this.height * (1 - part)
              c.strokeStyle = colour("--line")
              c.beginPath(); c.moveTo(this.left, y); c.lineTo(this.left + this.width, y); c.stroke()
              c.fillStyle = colour("--dim")
              c.fillText(number(top * part), this.left - 6, y)
            }
            c.textBaseline = "alphabetic"
            return value => this.top + this.height * (1 - Math.min(value, top) / top)
          }
          tell(rows) {
            this.legend.replaceChildren(...rows.map(([name, value, mark]) => {
              const item = document.createElement("li")
              if (mark) { const key = document.createElement("i"); key.style.background = mark; item.append(key) }
              item.append(value === null ? name : `${name} ${value}`)
              return item
            }))
          }
          get told() { return this.frames[this.at ?? this.frames.length - 1] }
        }

        // Pieces of time without a gap: a gap is a second that was not sampled.
        const pieces = frames => frames.reduce((list, frame) => {
          const last = list.at(-1)
          if (last && frame.t - last.at(-1).t < 3500) last.push(frame); else list.push([frame])
          return list
        }, [])

        // `series`: [name, value of a frame, colour]. Those that are 0 throughout are left out.
        const areas = (series, format = number) => chart => {
          const shown = series().filter(([, value]) => chart.frames.some(frame => value(frame) > 0))
          const y = chart.scale(Math.max(...chart.frames.map(frame => shown.reduce((sum, [, value]) => sum + value(frame), 0)), 0)), c = chart.c
          for (const part of pieces(chart.frames)) {
            let floor = part.map(() => 0)
            for (const [, value, mark] of shown) {
              const roof = part.map((frame, index) => floor[index] + value(frame))
              c.fillStyle = colour(mark)
              c.beginPath()
              const first = part.length === 1 ? 3 : 0
              part.forEach((frame, index) => c.lineTo(chart.x(frame.t) - first, y(roof[index])))
              for (let index = part.length - 1; index >= 0; index--) c.lineTo(chart.x(part[index].t), y(floor[index]))
              c.fill()
              floor = roof
            }
          }
          chart.tell(shown.length ? shown.map(([name, value, mark]) => [name, format(value(chart.told)), colour(mark)]) : [["nothing in this time", null]])
        }

        const lines = (series, format = number) => chart => {
          const shown = series()
          const y = chart.scale(Math.max(...chart.frames.map(frame => Math.max(...shown.map(([, value]) => value(frame)), 0)), 0)), c = chart.c
          for (const part of pieces(chart.frames)) {
            for (const [, value, mark] of shown) {
              c.strokeStyle = colour(mark)
              c.lineWidth = 1.5
              c.beginPath()
              part.forEach(frame => c.lineTo(chart.x(frame.t), y(value(frame))))
              c.stroke()
            }
          }
          chart.tell(shown.map(([name, value, mark]) => [name, format(value(chart.told)), colour(mark)]))
        }

        // `cells` gives a frame's counts by row, `labels` [row, text] pairs. The darker, the more of its column's counts a cell has.
        const heat = (rows, cells, labels, tell) => chart => {
          const c = chart.c, count = rows(), heat = colour("--accent").match(/\d+/g)
          c.textAlign = "right"
          c.textBaseline = "middle"
          c.fillStyle = colour("--dim")
          for (const [row, text] of labels()) c.fillText(text, chart.left - 6, chart.top + chart.height * (1 - row / count))
          c.textBaseline = "alphabetic"
          const width = Math.max(2, chart.width / chart.span + 0.6), size = chart.height / count
          let most = 1
          for (const frame of chart.frames) for (const [, n] of cells(frame)) most = Math.max(most, n)
          for (const frame of chart.frames) {
            const x = chart.x(frame.t) - width
            if (x < chart.left - width) continue
            for (const [row, n] of cells(frame)) {
              const share = 0.15 + 0.85 * Math.log1p(n) / Math.log1p(most)
              c.fillStyle = `rgba(${heat[0]}, ${heat[1]}, ${heat[2]}, ${share})`
              c.fillRect(Math.max(x, chart.left), chart.top + chart.height * (1 - (row + 1) / count), width, Math.max(1.5, size - 0.5))
            }
          }
          c.strokeStyle = colour("--line")
          c.strokeRect(chart.left, chart.top, chart.width, chart.height)
          chart.tell(tell(chart.told))
        }

        """#
}
