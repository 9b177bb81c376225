// RouteTrieBuilder: patterns into a RouteTrie, with every conflict named. Used while a server is set up, on any thread.

package import UringHTTP

/// A place in the source, for messages.
package struct RouteOrigin: Sendable, CustomStringConvertible {
    let file: StaticString
    let line: UInt
    package init(file: StaticString, line: UInt) { (self.file, self.line) = (file, line) }
    package var description: String {
        let path = file.description
        return "\(path[(path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex)...]):\(line)"
    }
}

package struct RouteTrieBuilder {
    private final class Node {
        var texts: [[UInt8]: Node] = [:]
        var parameter: (name: String, node: Node, origin: RouteOrigin)?
        var leaf: Place?
        var wildcard: (name: String?, place: Place, origin: RouteOrigin)?
    }

    private final class Place {
        var endpoints: [HTTPMethod: (endpoint: Int, origin: RouteOrigin)] = [:]
        /// For every method that has no route of its own here.
        var any: (endpoint: Int, origin: RouteOrigin)?
    }

    private let root = Node()
    package private(set) var problems: [String] = []

    package init() {}

    /// - Parameter method: nil = every method.
    package mutating func add(_ method: HTTPMethod?, _ pattern: String, endpoint: Int, at origin: RouteOrigin) {
        let segments: [RouteSegment]
        do {
            segments = try RoutePatternParser.parse(pattern)
        } catch {
            problems.append("\(origin): \(pattern): \(error.text)")
            return
        }
        guard let place = place(of: segments, pattern, origin) else { return }
        let taken = method.map { place.endpoints[$0]?.origin } ?? place.any?.origin
        if let taken {
            problems.append("\(origin): \(method?.description ?? "any method") \(pattern) has a handler already, from \(taken)")
        } else if let method {
            place.endpoints[method] = (endpoint, origin)
        } else {
            place.any = (endpoint, origin)
        }
    }

    private mutating func place(of segments: [RouteSegment], _ pattern: String, _ origin: RouteOrigin) -> Place? {
        var node = root
        for segment in segments {
            switch segment {
            case .text(let text):
                let next = node.texts[text] ?? Node()
                node.texts[text] = next
                node = next
            case .parameter(let name):
                if let existing = node.parameter, existing.name != name {
                    problems.append("\(origin): \(pattern): the parameter {\(name)} is called {\(existing.name)} at \(existing.origin)")
                    return nil
                }
                let next = node.parameter?.node ?? Node()
                if node.parameter == nil { node.parameter = (name, next, origin) }
                node = next
            case .wildcard(let name):
                if let existing = node.wildcard, existing.name != name {
                    problems.append("\(origin): \(pattern): the wildcard \(Self.text(name)) is called \(Self.text(existing.name)) at \(existing.origin)")
                    return nil
                }
                let place = node.wildcard?.place ?? Place()
                if node.wildcard == nil { node.wildcard = (name, place, origin) }
                return place
            }
        }
        let place = node.leaf ?? Place()
        node.leaf = place
        return place
    }

    private static func text(_ name: String?) -> String { name.map { "{\($0)*}" } ?? "*" }

    // MARK: flat memory

    private struct Flat {
        var nodes: [RouteTrie.Node] = []
        var edges: [RouteTrie.Edge] = []
        var buckets: [Int32] = []
        /// From so many children on a hash costs less than a search of three steps and more.
        static let searchedMax = 6
        var leaves: [RouteTrie.Leaf] = []
        var bytes: [UInt8] = []

        mutating func text(_ text: [UInt8]) -> RouteTrie.Text {
            defer { bytes += text }
            return RouteTrie.Text(offset: Int32(bytes.count), count: Int32(text.count))
        }

        mutating func leaf(_ place: Place?) -> Int32 {
            guard let place else { return -1 }
            var leaf = RouteTrie.Leaf()
            for method in HTTPMethod.allCases {
                let own = place.endpoints[method] ?? (method == .head ? place.endpoints[.get] : nil) ?? place.any
                guard let own else { continue }
                leaf.endpoints[Int(method.rawValue)] = Int32(own.endpoint)
                leaf.methods.insert(RouteMethodSet(method))
            }
            leaves.append(leaf)
            return Int32(leaves.count - 1)
        }

        /// Places for the edges from `first` on, by their texts; answers the mask.
        private mutating func addBuckets(_ texts: [[UInt8]], _ first: Int) -> Int32 {
            var count = 1
            while count < texts.count * 2 { count *= 2 }
            let start = buckets.count
            buckets += [Int32](repeating: -1, count: count)
            for (index, text) in texts.enumerated() {
                // SAFETY: the text lives through the closure; an empty one may have no address, and is not read.
                var place = unsafe text.withUnsafeBufferPointer { unsafe RouteTrie.hash($0.baseAddress ?? UnsafePointer(bitPattern: 8)!, $0.count) } & (count - 1)
                while buckets[start + place] >= 0 { place = (place + 1) & (count - 1) }
                buckets[start + place] = Int32(first + index)
            }
            return Int32(count - 1)
        }

        mutating func node(_ node: Node) -> Int32 {
            let number = nodes.count
            nodes.append(RouteTrie.Node())
            let ordered = node.texts.sorted { a, b in
                a.key.count != b.key.count ? a.key.count < b.key.count : a.key.lexicographicallyPrecedes(b.key)
            }
            // The edges of one node lie together, so they are reserved before the children are laid out.
            let first = edges.count
            for (key, _) in ordered { edges.append(RouteTrie.Edge(text: text(key), node: -1)) }
            for (index, child) in ordered.enumerated() { edges[first + index].node = self.node(child.value) }
            nodes[number].edges = Int32(first)..<Int32(first + ordered.count)
            if ordered.count > Self.searchedMax {
                nodes[number].firstBucket = Int32(buckets.count)
                nodes[number].bucketMask = addBuckets(ordered.map(\.key), first)
            }
            nodes[number].leaf = leaf(node.leaf)
            if let parameter = node.parameter {
                nodes[number].parameterName = text(Array(parameter.name.utf8))
                nodes[number].parameter = self.node(parameter.node)
            }
            if let wildcard = node.wildcard {
                nodes[number].wildcardName = text(Array((wildcard.name ?? "").utf8))
                nodes[number].wildcard = leaf(wildcard.place)
            }
            return Int32(number)
        }
    }

    package func build() -> RouteTrie {
        var flat = Flat()
        _ = flat.node(root)
        return RouteTrie(nodes: flat.nodes, edges: flat.edges, buckets: flat.buckets, leaves: flat.leaves, bytes: flat.bytes)
    }
}
