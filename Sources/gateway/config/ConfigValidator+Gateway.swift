// The validator for types that take more than one shape: names of one's own, short forms, secrets.

extension ConfigValidator {
    mutating func map(
        _ node: YAMLNode, _ key: ConfigText, _ element: ConfigType, _ counts: ClosedRange<Int>, _ type: ConfigType, _ label: String
    ) -> ConfigValue? {
        guard case .mapping(let entries) = node.content else {
            refuse(node, label, type)
            return nil
        }
        guard counts.contains(entries.count) else {
            diagnostics.error(node.position, "\(label): found \(entries.count) entries, accepted: \(counts.lowerBound) to \(counts.upperBound)")
            return nil
        }
        let outer = path
        path += ".NAME"
        defer { path = outer }
        return .map(
            entries.compactMap { entry in
                if let reason = key.problem(in: entry.key) {
                    diagnostics.error(
                        entry.keyPosition, "\(label): found the name `\(YAMLScalar.shown(entry.key))` (\(reason)), accepted: \(key.accepted)")
                    return nil
                }
                return value(entry.value, element, label: Self.join(label, entry.key), at: entry.keyPosition)
                    .map { ConfigMember(name: entry.key, position: entry.keyPosition, item: $0) }
            })
    }

    /// A scalar stands for a mapping with one key.
    mutating func shorthand(_ node: YAMLNode, _ key: String, _ group: ConfigGroup, _ type: ConfigType, _ label: String) -> ConfigValue? {
        switch node.content {
        case .mapping: return self.group(node, group, label: label).map { .group($0) }
        case .sequence:
            refuse(node, label, type)
            return nil
        case .scalar:
            guard let option = group.option(key), let item = value(node, option.type, label: label, at: node.position) else { return nil }
            var table = ConfigTable(position: node.position)
            table.given[key] = node.position
            table.items[key] = item
            complete(&table, group, label)
            return .group(table)
        }
    }

    mutating func wordOr(
        _ node: YAMLNode, _ words: [String], _ type: ConfigType, _ label: String, at position: SourcePosition
    ) -> ConfigValue? {
        if case .scalar(let scalar) = node.content, words.contains(scalar.text) { return .text(scalar.text) }
        var trial = ConfigValidator(unwired: unwired)
        if let item = trial.value(node, type, label: label, at: position), !trial.diagnostics.hasErrors { return item.value }
        refuse(node, label, .wordOr(words, type))
        return nil
    }

    mutating func secret(_ node: YAMLNode, _ label: String) -> ConfigValue? {
        switch node.content {
        case .scalar(let scalar) where !scalar.text.isEmpty: return .secret(.text(scalar.text))
        case .mapping(let entries) where entries.count == 1 && entries[0].key == "file":
            guard let item = value(entries[0].value, .text(.path), label: Self.join(label, "file"), at: entries[0].keyPosition),
                case .text(let path) = item.value
            else { return nil }
            return .secret(.file(path))
        case .scalar, .mapping, .sequence:
            // Never with what was found: it may be the secret in a wrong shape.
            diagnostics.error(node.position, "\(label): found something else, accepted: \(ConfigType.secret.accepted)")
            return nil
        }
    }
}
