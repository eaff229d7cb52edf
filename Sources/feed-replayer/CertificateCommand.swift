import ArgumentParser
import Glibc
import MarketData

/// `feed-replayer certificate`
struct CertificateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certificate",
        abstract: "Make a certificate authority and a server certificate for tests.",
        discussion: """
            Writes ca.pem, server.pem and server-key.pem (readable by you alone). The authority's key is not kept.

            EXAMPLES
              feed-replayer certificate --directory ./certificates
              A certificate that a client must refuse, for its name and for its date:
                feed-replayer certificate --directory ./wrong --name other.example
                feed-replayer certificate --directory ./old --expired
            """)

    @Option(help: "Where the files go; made where it is missing.")
    var directory: String

    @Option(
        name: .customLong("name"), parsing: .upToNextOption,
        help: "Host names and addresses. (default: localhost 127.0.0.1 ::1)")
    var names: [String] = []

    @Flag(help: "Valid from ten days ago until yesterday.")
    var expired = false

    func run() throws {
        do throws(ReplayerError) {
            let files = try Certificates.write(
                directory: Certificates.absolute(directory),
                names: names.isEmpty ? Certificates.localNames : names,
                isExpired: expired)
            let authority = JSONEscaping.quoted(files.authority ?? "")
            let certificate = JSONEscaping.quoted(files.certificate)
            let key = JSONEscaping.quoted(files.key)
            writeText(
                "{\"certificateAuthority\":\(authority),\"certificate\":\(certificate),\"key\":\(key)}\n",
                to: STDOUT_FILENO)
        } catch {
            report(error.description)
            throw ExitCode(error.exitCode)
        }
    }
}
