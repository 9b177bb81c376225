// RouteTable+Compiling: the index of routes as it is made, once per configuration, on the thread that loads it. Plain arrays and dictionaries, which
// `RouteTable.init` copies to flat memory.

extension RouteTable {
    struct Draft {
        var bytes: [UInt8] = []
        var items: [Item] = []
        var roots: [Root] = [Root(any: 0..<0)]
        var hosts: [Host] = []
        var exacts: [Exact] = []
        var nodes: [Node] = []
        var hostBuckets: [Int32] = []
        var exactBuckets: [Int32] = []
        var nodeBuckets: [Int32] = []
        var methods: [Method] = []
        private var methodIndex: [String: Int] = [:]
        private var hostIndex: [HostPattern: Int32] = [:]
        private var exactIndex: [ExactKey: Int32] = [:]
        private var nodeIndex: [NodeKey: Int32] = [:]
        // Rules by place; each list is in the order of the rules, since they are added so.
        private var anyRules: [[Item]] = [[]]
        private var exactRules: [[Item]] = []
        private var tailRules: [[Item]] = []
        private var endRules: [[Item]] = []

        private struct ExactKey: Hashable {
            let root: Int32
            let path: String
        }

        private struct NodeKey: Hashable {
            let parent: Int32
            let segment: PathPattern.Segment
        }

        init(_ rules: [RouteMatchRule]) {
            for (index, rule) in rules.enumerated() { add(rule, Int32(index)) }
            flatten()
            hostBuckets = Self.chain(&hosts, hash: \.hash, next: \.next)
            exactBuckets = Self.chain(&exacts, hash: \.hash, next: \.next)
            nodeBuckets = Self.chain(&nodes, hash: \.hash, next: \.next)
        }

        private mutating func add(_ rule: RouteMatchRule, _ route: Int32) {
            let mask = rule.methods.names.reduce(UInt64(0)) { $0 | (1 << UInt64(methodNumber($1))) }
            let item = Item(methods: mask, route: route, isClearOnly: rule.isClearOnly)
            for root in rule.hosts.isEmpty ? [0] : rule.hosts.map({ self.root($0) }) {
                roots[Int(root)].least = min(roots[Int(root)].least, route)
                if rule.paths.isEmpty { anyRules[Int(root)].append(item) }
                for path in rule.paths { add(path, item, root) }
            }
        }

        private mutating func root(_ host: HostPattern) -> Int32 {
            if let root = hostIndex[host] { return root }
            let root = Int32(roots.count)
            hostIndex[host] = root
            roots.append(Root(any: 0..<0))
            anyRules.append([])
            let state = host.text.utf8.reversed().reduce(RouteTable.hostSeed) { RouteTable.hostHash($0, $1) }
            hosts.append(
                Host(hash: RouteTable.hostKey(state, isWildcard: host.isWildcard), text: text(host.text), root: root, next: -1, isWildcard: host.isWildcard))
            return root
        }

        private mutating func add(_ path: PathPattern, _ item: Item, _ root: Int32) {
            guard !path.isExact else { return addExact(path.text, item, root) }
            if roots[Int(root)].node < 0 { roots[Int(root)].node = addNode() }
            var place = roots[Int(root)].node
            nodes[Int(place)].least = min(nodes[Int(place)].least, item.route)
            for segment in path.segments {
                place = child(of: place, segment)
                nodes[Int(place)].least = min(nodes[Int(place)].least, item.route)
            }
            if path.hasTail { tailRules[Int(place)].append(item) } else { endRules[Int(place)].append(item) }
        }

        private mutating func addExact(_ path: String, _ item: Item, _ root: Int32) {
            roots[Int(root)].hasExacts = true
            let key = ExactKey(root: root, path: path)
            if let found = exactIndex[key] { return exactRules[Int(found)].append(item) }
            exactIndex[key] = Int32(exacts.count)
            exacts.append(Exact(hash: RouteTable.exactKey(Self.hash(path), root: root), text: text(path), root: root, next: -1, items: 0..<0))
            exactRules.append([item])
        }

        private mutating func addNode() -> Int32 {
            nodes.append(Node())
            tailRules.append([])
            endRules.append([])
            return Int32(nodes.count - 1)
        }

        private mutating func child(of parent: Int32, _ segment: PathPattern.Segment) -> Int32 {
            let key = NodeKey(parent: parent, segment: segment)
            if let found = nodeIndex[key] { return found }
            let made = addNode()
            nodeIndex[key] = made
            switch segment {
            case .parameter: nodes[Int(parent)].parameter = made
            case .literal(let literal):
                nodes[Int(parent)].hasLiterals = true
                nodes[Int(made)].parent = parent
                nodes[Int(made)].text = text(literal)
                nodes[Int(made)].hash = RouteTable.exactKey(Self.hash(literal), root: parent)
            }
            return made
        }

        private static func hash(_ text: String) -> UInt64 {
            let bytes = Array(text.utf8)
            // `bytes` lives through the closure.
            return unsafe bytes.withUnsafeBytes { unsafe RouteTable.hash($0) }
        }

        /// The lists of rules, one behind the other.
        private mutating func flatten() {
            func place(_ list: [Item]) -> Range<Int32> {
                let first = Int32(items.count)
                items += list
                return first..<Int32(items.count)
            }
            for index in roots.indices { roots[index].any = place(anyRules[index]) }
            for index in exacts.indices { exacts[index].items = place(exactRules[index]) }
            for index in nodes.indices {
                let (tail, end) = (place(tailRules[index]), place(endRules[index]))
                (nodes[index].first, nodes[index].middle, nodes[index].end) = (tail.lowerBound, end.lowerBound, end.upperBound)
            }
        }

        private mutating func text(_ text: String) -> Text {
            let offset = Int32(bytes.count)
            bytes += Array(text.utf8)
            return Text(offset: offset, count: Int32(bytes.count) - offset)
        }

        private mutating func methodNumber(_ name: String) -> Int {
            if let number = methodIndex[name] { return number }
            precondition(methods.count < RouteTable.methodsMax, "BUG: the loader lets pass more methods than a table numbers")
            var words: (low: UInt64, high: UInt64) = (0, 0)
            for (index, byte) in name.utf8.enumerated() {
                if index < 8 { words.low |= UInt64(byte) << UInt64(index * 8) } else { words.high |= UInt64(byte) << UInt64((index - 8) * 8) }
            }
            methodIndex[name] = methods.count
            methods.append(Method(low: words.low, high: words.high, text: text(name)))
            return methods.count - 1
        }

        /// Entries by hash: at least two buckets for each. Those that have no text (any segment) are in a chain that nobody asks for: no text has their parent.
        private static func chain<T>(_ entries: inout [T], hash: KeyPath<T, UInt64>, next: WritableKeyPath<T, Int32>) -> [Int32] {
            var size = 1
            while size < entries.count * 2 { size *= 2 }
            var buckets = [Int32](repeating: -1, count: size)
            for index in entries.indices {
                let bucket = Int(entries[index][keyPath: hash] & UInt64(size - 1))
                entries[index][keyPath: next] = buckets[bucket]
                buckets[bucket] = Int32(index)
            }
            return buckets
        }
    }
}
