// `expectations` against the routes they stand beside: each that does not hold is an error in its place. Called by the loader, so that neither
// `check` nor a reload lets a configuration pass that breaks them.

enum ExpectationCheck {
    static func problems(_ configuration: Configuration) -> [Diagnostic] {
        guard !configuration.expectations.isEmpty else { return [] }
        let explainer = Explainer(configuration, RouteTable(configuration.routes.map(\.match)))
        return configuration.expectations.flatMap { expectation -> [Diagnostic] in
            guard let url = try? EndpointURL.parse(expectation.url).get() else { return [] }
            let request = ExplainedRequest(method: expectation.method, url: url, headers: expectation.headers)
            return problems(expectation, explainer.explain(request), configuration).map {
                .error(expectation.position, "expectations: \(expectation.method) \(expectation.url): \($0)")
            }
        }
    }

    private static func problems(
        _ expectation: ExpectationConfiguration, _ found: RequestExplanation, _ configuration: Configuration
    ) -> [String] {
        var problems: [String] = []
        if let route = expectation.route, let problem = routeProblem(route, found, configuration) { problems.append(problem) }
        if let status = expectation.status {
            if found.status == nil {
                problems.append("the status is not known offline: \(found.answer.last ?? "the answer") decides it")
            } else if found.status != status {
                problems.append("the status is \(found.status ?? 0), not \(status)\(found.steps.first { $0.verdict?.hasPrefix("\(found.status ?? 0):") ?? false }.map { " (\($0.filter))" } ?? "")")
            }
        }
        for field in expectation.responseHeaders {
            let values = found.responseHeaders.filter { $0.name.lowercased() == field.name.lowercased() }.map(\.value)
            if values.isEmpty {
                problems.append("the configuration gives the response no header \(field.name)")
            } else if !values.contains(field.value) {
                problems.append("the header \(field.name) is not what is expected")
            }
        }
        return problems
    }

    private static func routeProblem(_ route: String, _ found: RequestExplanation, _ configuration: Configuration) -> String? {
        if route == "none" { return found.route.map { "the route `\($0)` takes it, not none" } }
        if found.route == route { return nil }
        let taker = found.route.map { "the route `\($0)` takes it" } ?? "no route takes it"
        guard configuration.routes.contains(where: { $0.name == route }) else {
            return "\(taker); there is no route `\(route)`\(ConfigurationBuilder.guess(route, configuration.routes.map(\.name), "routes"))"
        }
        guard let url = try? EndpointURL.parse(found.request.url.text).get(), let wanted = configuration.routes.first(where: { $0.name == route }) else { return taker }
        let request = ExplainedRequest(method: found.request.method, url: url, headers: found.request.headers)
        let reason = request.normalPath.flatMap { Explainer.reason(wanted.match, request, $0) } ?? "an earlier one takes it"
        return "\(taker), not `\(route)`: \(reason)"
    }
}
