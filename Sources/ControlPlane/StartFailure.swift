import GoogleCloud
import Publishing
import Rings
import Wire

/// Tells by its type what kind of failure ended a start: each has an exit code of its own (sysexits.h).
public enum StartFailure: Int32, Sendable {
    /// Something that is needed is not there: a port, a service, the fake exchange.
    case unavailable = 69
    /// An error of this program.
    case software = 70
    /// The system gives no memory, thread or descriptor.
    case system = 71
    /// The directory of the file sink or of the spool cannot be made, written or locked.
    case cantCreate = 73
    /// The configuration names something that is not as it should be: a certificate file, credentials.
    case configuration = 78

    /// The kind of an error that a command caught. `sink`: what the collector publishes to.
    public init(_ error: any Error, sink: Configuration.SinkType) {
        switch error {
        case is ConfigurationErrors, is TLSContext.Failure, is CredentialsError, is PlanError:
            self = .configuration
        case is PublishError: self = sink == .file ? .cantCreate : .unavailable
        case is SpoolError: self = .cantCreate
        case is RingError, is SignalError, is OpenFilesError: self = .system
        case is ManagementAPI.StartError, is CollectorError: self = .unavailable
        default: self = .software
        }
    }
}
