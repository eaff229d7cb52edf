import Publishing

/// What only the NATS sink has: its server, its stream and who the collector is there.
extension ConfigurationDecoder {
    func decodeNATS(_ section: ConfigurationSection, into sink: inout Configuration.Sink) {
        if let endpoint = section.scalar("endpoint") {
            sink.endpoint = endpoint.text
            if NATSEndpoint(endpoint.text) == nil {
                section.error(
                    "endpoint",
                    "\(endpoint.shown) is no address of a NATS server; write nats://HOST:PORT or tls://HOST:PORT"
                )
            }
        } else if !section.has("endpoint") {
            section.error(
                "endpoint", "is missing; NATS needs a server: write nats://HOST:PORT or tls://HOST:PORT")
        }
        if let stream = section.scalar("stream") {
            sink.stream = stream.text
            // https://docs.nats.io/nats-concepts/jetstream/streams: no spaces, dots, wildcards and separators.
            let isName = stream.text.utf8.allSatisfy {
                $0 > 0x20 && $0 < 0x7F && ![0x2A, 0x2E, 0x2F, 0x3E, 0x5C].contains($0)
            }
            if stream.text.isEmpty || stream.text.utf8.count > 255 || !isName {
                section.error(
                    "stream",
                    "\(stream.shown) is no name of a stream; write letters, digits, hyphens and underscores")
            }
        }
        let user = section.scalar("user")?.text
        let password = section.scalar("password")?.text
        if section.has("token"), section.has("user") || section.has("password") {
            section.error("token", "goes without user and password; keep one of the two")
        } else if section.has("user") != section.has("password") {
            let missing = section.has("user") ? "password" : "user"
            section.error(missing, "is missing; user and password go together")
        } else if let user, let password {
            sink.credentials = .user(user, password: password)
        } else if let token = section.scalar("token") {
            sink.credentials = .token(token.text)
        }
    }

    /// Keys that say nothing to another sink.
    func refuseNATSKeys(_ section: ConfigurationSection, type: Configuration.SinkType) {
        for key in ConfigurationKeys.nats where section.has(key) {
            section.error(key, "belongs to the nats sink, not to \(type.rawValue); leave it out")
        }
    }
}
