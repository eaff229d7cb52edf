/// How a request to a sink ended: gRPC's status codes. Sinks that are no gRPC service use the nearest one.
@frozen public enum PublishCode: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    // Numbers: https://grpc.io/docs/guides/status-codes/
    /// Done.
    case ok = 0
    /// Ended by either side before it was done.
    case cancelled = 1
    /// No status came, or one that means nothing to us.
    case unknown = 2
    /// Refused for what it says.
    case invalidArgument = 3
    /// Took too long; whether it was done is not known.
    case deadlineExceeded = 4
    /// The topic is missing.
    case notFound = 5
    /// What should be made is there.
    case alreadyExists = 6
    /// The credentials lack a right.
    case permissionDenied = 7
    /// Quota, or a full disk.
    case resourceExhausted = 8
    /// A policy of the topic forbids it.
    case failedPrecondition = 9
    /// Collided with another operation.
    case aborted = 10
    /// Not given by Pub/Sub; kept so that every number has its case.
    case outOfRange = 11
    /// The endpoint is no Pub/Sub service.
    case unimplemented = 12
    /// Fault of the service.
    case `internal` = 13
    /// The service, or the way to it, is down.
    case unavailable = 14
    /// Fault of the service.
    case dataLoss = 15
    /// The token is missing, expired or refused.
    case unauthenticated = 16

    /// The name in metric labels and log lines: `OK`, `DEADLINE_EXCEEDED`.
    public var name: String {
        switch self {
        case .ok: "OK"
        case .cancelled: "CANCELLED"
        case .unknown: "UNKNOWN"
        case .invalidArgument: "INVALID_ARGUMENT"
        case .deadlineExceeded: "DEADLINE_EXCEEDED"
        case .notFound: "NOT_FOUND"
        case .alreadyExists: "ALREADY_EXISTS"
        case .permissionDenied: "PERMISSION_DENIED"
        case .resourceExhausted: "RESOURCE_EXHAUSTED"
        case .failedPrecondition: "FAILED_PRECONDITION"
        case .aborted: "ABORTED"
        case .outOfRange: "OUT_OF_RANGE"
        case .unimplemented: "UNIMPLEMENTED"
        case .internal: "INTERNAL"
        case .unavailable: "UNAVAILABLE"
        case .dataLoss: "DATA_LOSS"
        case .unauthenticated: "UNAUTHENTICATED"
        }
    }

    /// Whether the same publish request may succeed soon without anybody's doing: Pub/Sub's own retry list
    /// (googleapis pubsub_grpc_service_config.json), and UNAUTHENTICATED, for which a fresh token is taken.
    public var isTransient: Bool {
        switch self {
        case .aborted, .cancelled, .deadlineExceeded, .internal, .resourceExhausted, .unavailable, .unknown,
            .unauthenticated:
            true
        default: false
        }
    }
}
