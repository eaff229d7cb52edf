import Foundation
import Synchronization

/// Gives bearer tokens for Google's services and renews them early, on a thread of its own.
///
/// The token in use is kept until it expires, whatever happens to its renewal. Tokens are never logged.
public final class Credentials: Sendable {
    enum Source: Sendable {
        case key(ServiceAccountKey)
        case metadata(MetadataServer)
    }

    private struct State {
        var token: String?
        /// On the monotonic clock, seconds.
        var expiry = 0.0
        var renewal = 0.0
        var lastRefusal = -Double.infinity
        var failures = 0
        var problem: String?
        var isRunning = false
        var isStopping = false
    }

    private let source: Source
    private let state = Mutex(State())
    // Wakes the thread; what is waited for is in `state`.
    private let condition = NSCondition()

    /// Forced renewals because of a refused token come at most so often, in seconds.
    static let refusalPause = 10.0
    /// The longest wait between failed renewals, in seconds.
    static let longestPause = 60.0

    init(_ source: Source) { self.source = source }

    /// Finds the credentials as Google's own libraries do: the file that GOOGLE_APPLICATION_CREDENTIALS names (then no
    /// other), gcloud's own file, the metadata server (GCE_METADATA_HOST is obeyed). Reads files, asks no server.
    public static func resolve(environment: [String: String]) throws(CredentialsError) -> Credentials {
        if let path = environment["GOOGLE_APPLICATION_CREDENTIALS"], !path.isEmpty {
            return try Credentials(file: path, origin: "GOOGLE_APPLICATION_CREDENTIALS=\(path)")
        }
        var folder = environment["CLOUDSDK_CONFIG"] ?? ""
        if folder.isEmpty, let home = environment["HOME"] { folder = home + "/.config/gcloud" }
        let path = folder + "/application_default_credentials.json"
        if !folder.isEmpty, FileManager.default.fileExists(atPath: path) {
            return try Credentials(file: path, origin: path)
        }
        let host = environment["GCE_METADATA_HOST"] ?? ""
        return Credentials(
            .metadata(MetadataServer(host: host.isEmpty ? MetadataServer.defaultHost : host)))
    }

    private convenience init(file path: String, origin: String) throws(CredentialsError) {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CredentialsError(
                description:
                    "\(origin): the file cannot be read; name a service account's key file that this user"
                    + " may read")
        }
        guard let json = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw CredentialsError(
                description: "\(origin): not a JSON object; name a service account's key file")
        }
        guard json["type"] as? String == "service_account" else {
            throw CredentialsError(
                description:
                    "\(origin): credentials of type '\(json["type"] as? String ?? "")' cannot be used; name a"
                    + " service account's key file, or run where a metadata server answers")
        }
        self.init(.key(try ServiceAccountKey(json, path: origin)))
    }

    /// Who the credentials are of, for logs: a service account's name or the metadata server's.
    public var description: String {
        switch source {
        case .key(let key): "service account \(key.account)"
        case .metadata(let server): "metadata server \(server.host)"
        }
    }

    /// The project: GOOGLE_CLOUD_PROJECT, GCLOUD_PROJECT, the key file's, or the metadata server's, which is asked and
    /// waited for.
    public func project(environment: [String: String]) throws(CredentialsError) -> String {
        for name in ["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"] {
            if let project = environment[name], !project.isEmpty { return project }
        }
        switch source {
        case .key(let key):
            guard let project = key.project else {
                throw CredentialsError(description: "the key file names no project; set GOOGLE_CLOUD_PROJECT")
            }
            return project
        case .metadata(let server): return try server.project()
        }
    }

    // MARK: Use

    /// The token to use now; nil where there is none (yet, or no longer). Never waits for a server.
    public func token() -> String? {
        let now = Credentials.now()
        return state.withLock { $0.expiry > now ? $0.token : nil }
    }

    /// Why the last renewal failed; nil where it did not.
    public var problem: String? { state.withLock { $0.problem } }

    /// A service refused that token: it is renewed at once, unless that has just been done.
    public func refuse(_ token: String) {
        let now = Credentials.now()
        let isDue = state.withLock { state in
            guard state.token == token, now - state.lastRefusal >= Credentials.refusalPause else {
                return false
            }
            state.lastRefusal = now
            state.renewal = now
            return true
        }
        if isDue { wake() }
    }

    /// Gets the first token and returns it, or throws why there is none; either way a thread goes on renewing it, or
    /// trying to.
    @discardableResult
    public func start() throws(CredentialsError) -> String {
        renew()
        let isFirst = state.withLock { state in
            let isFirst = !state.isRunning
            state.isRunning = true
            return isFirst
        }
        if isFirst {
            let thread = Thread { [self] in run() }
            thread.name = "credentials"
            thread.start()
        }
        guard let token = token() else {
            throw CredentialsError(description: problem ?? "\(description): no token")
        }
        return token
    }

    /// Ends the thread.
    public func stop() {
        state.withLock { $0.isStopping = true }
        wake()
    }

    // MARK: Renewal

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private func wake() {
        condition.lock()
        condition.signal()
        condition.unlock()
    }

    private func run() {
        while true {
            condition.lock()
            while true {
                let (isStopping, left) = state.withLock { ($0.isStopping, $0.renewal - Credentials.now()) }
                if isStopping || left <= 0 { break }
                _ = condition.wait(until: Date(timeIntervalSinceNow: left))
            }
            condition.unlock()
            if state.withLock({ $0.isStopping }) { return }
            renew()
        }
    }

    /// When a token of so many seconds is renewed. Google's libraries do it 225 s before the end; the metadata server
    /// gives the same token out until 300 s before it.
    static func renewal(after lifetime: Double) -> Double {
        lifetime > 450 ? min(lifetime - 225, lifetime * 0.9) : lifetime / 2
    }

    private func renew() {
        do throws(CredentialsError) {
            let (token, lifetime) = try fetch()
            let now = Credentials.now()
            state.withLock { state in
                state.token = token
                state.expiry = now + Double(lifetime)
                state.renewal = now + max(Credentials.renewal(after: Double(lifetime)), 0.5)
                state.failures = 0
                state.problem = nil
            }
        } catch {
            let now = Credentials.now()
            state.withLock { state in
                state.failures += 1
                state.renewal = now + min(Double(1 << min(state.failures - 1, 10)), Credentials.longestPause)
                state.problem = error.description
            }
        }
    }

    private func fetch() throws(CredentialsError) -> (String, Int) {
        switch source {
        case .key(let key):
            return (try key.token(now: Int(Date().timeIntervalSince1970)), ServiceAccountKey.lifetime)
        case .metadata(let server):
            return try server.token()
        }
    }
}
