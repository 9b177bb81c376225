// Responses of the server from and to values of swift-http-types. On the loop's thread, during a handler's call.

#if HTTPTypes
public import HTTPTypes
public import UringServer

extension UringServer.Response {
    /// Takes over status and fields. Fields that were set before stay, beside those of the same name. Of the framing the server has the last word: `Content-Length`,
    /// `Transfer-Encoding` and `Connection` are its own, but for a `Connection: close`, which closes, and the `Content-Length` of a HEAD response.
    ///
    /// The reason phrase is the server's. An informational status is not a final response and becomes a 500.
    public func set(_ head: HTTPResponse) {
        status = HTTPStatus(head.status)
        headers.add(head.headerFields)
        if let connection = head.headerFields[.connection], connection.lowercased() == "close" { closeConnection() }
    }
}

extension UringServer.ResponseHeaders {
    /// Adds fields behind those that are there. The bytes of a value are copied as they are.
    public func add(_ fields: HTTPFields) {
        for field in fields { add(dynamicName: field.name.rawName, field.value) }
    }
}

extension HTTPResponse {
    /// Status and fields as they are set now, copied. What the server adds when it sends them (`Date`, framing) is not among them.
    public init(_ response: borrowing UringServer.Response) {
        self.init(status: Status(response.status), headerFields: HTTPFields(response.headers))
    }
}

extension HTTPFields {
    /// The fields of a response under construction, copied in order.
    public init(_ headers: borrowing UringServer.ResponseHeaders) {
        self.init()
        headers.forEach { name, value in
            // It was a token when it was added.
            guard let name = HTTPField.Name(name) else { return }
            append(HTTPField(name: name, value: value))
        }
    }
}

extension HTTPResponse.Status {
    public init(_ status: UringServer.HTTPStatus) {
        self.init(code: Int(status.code), reasonPhrase: "\(status.reasonPhrase)")
    }
}

extension UringServer.HTTPStatus {
    /// Codes outside 100…599 become the nearest of those, their reason phrase goes.
    public init(_ status: HTTPResponse.Status) {
        self.init(UInt16(clamping: status.code))
    }
}
#endif
