/// What topics that the collector makes are to have (google.pubsub.v1.Topic). Existing topics are left as they are.
public struct TopicSettings: Sendable, Equatable {
    /// Checks messages against a schema (google.pubsub.v1.SchemaSettings).
    public struct Schema: Sendable, Equatable {
        /// How the data are encoded, with the enumeration's numbers.
        public enum Encoding: Int, Sendable, CaseIterable {
            /// Text.
            case json = 1
            /// Avro's or protobuf's own.
            case binary = 2
        }
        /// `projects/P/schemas/S`.
        public var name: String
        /// How the data are encoded.
        public var encoding: Encoding
        /// The first and the last revision that messages may follow; empty: no bound.
        public var firstRevision = ""
        /// See ``firstRevision``.
        public var lastRevision = ""

        /// A schema of that name without bounds.
        public init(name: String, encoding: Encoding) {
            self.name = name
            self.encoding = encoding
        }
    }

    /// Labels by key.
    public var labels: [String: String] = [:]
    /// How long the topic itself keeps messages, s: 600 to 2,678,400; nil: not at all.
    public var retentionSeconds: Int?
    /// Regions in which messages may be stored; empty: the organisation's policy.
    public var storageRegions: [String] = []
    /// Refuses to take messages in other regions, too.
    public var enforceInTransit = false
    /// `projects/P/locations/L/keyRings/R/cryptoKeys/K`; empty: Google's own key.
    public var kmsKey = ""
    /// Nil: anything goes.
    public var schema: Schema?

    /// None of it.
    public init() {}

    /// The fields of a Topic beside its name.
    var fields: [UInt8] {
        var bytes: [UInt8] = []
        for (key, value) in labels.sorted(by: { $0.key < $1.key }) { bytes += Protobuf.attribute(key, value) }
        if !storageRegions.isEmpty {
            let policy = storageRegions.flatMap { Protobuf.field(1, $0.utf8) }
            bytes += Protobuf.field(3, policy + (enforceInTransit ? Protobuf.number(2, 1) : []))
        }
        if !kmsKey.isEmpty { bytes += Protobuf.field(5, kmsKey.utf8) }
        if let schema {
            var settings = Protobuf.field(1, schema.name.utf8) + Protobuf.number(2, schema.encoding.rawValue)
            if !schema.firstRevision.isEmpty { settings += Protobuf.field(3, schema.firstRevision.utf8) }
            if !schema.lastRevision.isEmpty { settings += Protobuf.field(4, schema.lastRevision.utf8) }
            bytes += Protobuf.field(6, settings)
        }
        if let retentionSeconds { bytes += Protobuf.field(8, Protobuf.number(1, retentionSeconds)) }
        return bytes
    }
}
