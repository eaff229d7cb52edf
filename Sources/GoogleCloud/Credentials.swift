import Foundation
import Synchronization

/// Gives bearer tokens for Google's services and renews them early, on a thread of its own.
///
/// The token in use is kept until it expires, whatever happens to its renewal. Tokens are never logged.
public final class Credentials: Sendable {
    private struct State {
        var token: String?
        /// On the monotonic clock, seconds.
        var expiry = 0.0
        var renewal = 0.0
        /// When renewals were forced, within the last minute.
        var forced: [Double] = []
        var isRefused = false
        var failures = 0
        var problem: String?
        var isTransient = false
        var isRunning = false
        var isStopping = false
    }

    private let provider: any TokenProvider
    /// The project that requests are counted for and billed to, where the credentials or GOOGLE_CLOUD_QUOTA_PROJECT name
    /// one: the value of `x-goog-user-project`.
    public let quotaProject: String?
    // One renewal at a time.
    private let flight = Mutex(())
    private let state = Mutex(State())
    // Wakes the thread; what is waited for is in `state`.
    private let condition = NSCondition()

    /// Renewals that refused tokens force within ``refusalWindow`` at most, as many as Google's libraries make.
    static let forcedRenewals = 2
    /// Seconds.
    static let refusalWindow = 60.0
    /// The longest wait between failed renewals, in seconds.
    static let longestPause = 60.0

    init(_ provider: any TokenProvider, quotaProject: String? = nil) {
        self.provider = provider
        self.quotaProject = quotaProject
    }

    /// Finds the credentials as Google's own libraries do: the file that GOOGLE_APPLICATION_CREDENTIALS names (then no
    /// other), gcloud's own file, the metadata server (GCE_METADATA_HOST is obeyed). Reads files, asks no server.
    /// Sources: https://cloud.google.com/docs/authentication/application-default-credentials, AIP-4110.
    public static func resolve(environment: [String: String]) throws(CredentialsError) -> Credentials {
        if let universe = environment["GOOGLE_CLOUD_UNIVERSE_DOMAIN"], !universe.isEmpty,
            universe != CredentialsFile.universe
        {
            throw CredentialsError(
                description: "GOOGLE_CLOUD_UNIVERSE_DOMAIN is '\(universe)'; only"
                    + " \(CredentialsFile.universe) is supported: unset it")
        }
        let quotaProject = environment["GOOGLE_CLOUD_QUOTA_PROJECT"].flatMap { $0.isEmpty ? nil : $0 }
        guard quotaProject.map(AccessToken.isUsable) ?? true else {
            throw CredentialsError(
                description: "GOOGLE_CLOUD_QUOTA_PROJECT is no project id; set it as in my-project-123")
        }
        if let path = environment["GOOGLE_APPLICATION_CREDENTIALS"], !path.isEmpty {
            let file = try CredentialsFile(path: path, origin: "GOOGLE_APPLICATION_CREDENTIALS=\(path)")
            return try Credentials(file, quotaProject: quotaProject)
        }
        var folder = environment["CLOUDSDK_CONFIG"] ?? ""
        if folder.isEmpty, let home = environment["HOME"] { folder = home + "/.config/gcloud" }
        let path = folder + "/application_default_credentials.json"
        if !folder.isEmpty, FileManager.default.fileExists(atPath: path) {
            return try Credentials(CredentialsFile(path: path, origin: path), quotaProject: quotaProject)
        }
        let host = environment["GCE_METADATA_HOST"] ?? ""
        return Credentials(
            MetadataServer(host: host.isEmpty ? MetadataServer.defaultHost : host), quotaProject: quotaProject
        )
    }

    private convenience init(_ file: CredentialsFile, quotaProject: String?) throws(CredentialsError) {
        let named = file.json["quota_project_id"] as? String
        let project = quotaProject ?? named
        guard project.map(AccessToken.isUsable) ?? true else {
            throw file.error("'quota_project_id' is no project id")
        }
        self.init(try file.provider(), quotaProject: project)
    }

    /// Who the credentials are of, for logs: a service account's name or the metadata server's.
    public var description: String { provider.description }

    /// The project: GOOGLE_CLOUD_PROJECT, GCLOUD_PROJECT, the key file's, or the metadata server's, which is asked and
    /// waited for.
    public func project(environment: [String: String]) throws(CredentialsError) -> String {
        for name in ["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"] {
            if let project = environment[name], !project.isEmpty { return project }
        }
        if let server = provider as? MetadataServer { return try server.askedProject() }
        guard let project = provider.project else {
            throw CredentialsError(
                description: "\(description): no project is named; set GOOGLE_CLOUD_PROJECT")
        }
        return project
    }

    // MARK: Use

    /// The token to use now; nil where there is none (yet, or no longer). Never waits for a server.
    public func token() -> String? {
        let now = Credentials.now()
        return state.withLock { $0.expiry > now ? $0.token : nil }
    }

    /// Why the last renewal failed; nil where it did not.
    public var problem: String? { state.withLock { $0.problem } }

    /// A service refused that token: it is renewed at once, unless that has just been done twice.
    public func refuse(_ token: String) {
        let now = Credentials.now()
        let isDue = state.withLock { state in
            guard state.token == token, !state.isRefused else { return false }
            state.forced.removeAll { now - $0 >= Credentials.refusalWindow }
            guard state.forced.count < Credentials.forcedRenewals else { return false }
            state.forced.append(now)
            state.isRefused = true
            state.renewal = now
            return true
        }
        if isDue { wake() }
    }

    /// Gets the first token and returns it, or throws why there is none; either way a thread goes on renewing it, or
    /// trying to. `patience`: seconds for which a server that is only not ready yet is asked again, as that of a
    /// starting pod may be.
    @discardableResult
    public func start(patience: Double = 0) throws(CredentialsError) -> String {
        let first: Result<String, CredentialsError>
        do throws(CredentialsError) {
            first = .success(try current(patience: patience))
        } catch {
            first = .failure(error)
        }
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
        return try first.get()
    }

    /// A token for a caller that can wait for one; see ``start(patience:)``, without the thread.
    func current(patience: Double) throws(CredentialsError) -> String {
        let end = Credentials.now() + patience
        var pause = 1.0
        while true {
            flight.withLock { _ in
                if token() == nil { renew() }
            }
            if let token = token() { return token }
            let error = state.withLock {
                CredentialsError(
                    description: $0.problem ?? "\(description): no token", isTransient: $0.isTransient)
            }
            guard error.isTransient, Credentials.now() + pause < end else { throw error }
            Thread.sleep(forTimeInterval: pause)
            pause *= 2
        }
    }

    /// Another token for a caller that can wait, because a service refused that one; nil where no renewal may be forced
    /// now. For use without the thread.
    func replacement(for refused: String) throws(CredentialsError) -> String? {
        refuse(refused)
        guard state.withLock({ $0.isRefused }) else { return nil }
        flight.withLock { _ in renew() }
        let problem = state.withLock { state in
            // Otherwise a failed renewal would end the caller's next try, too.
            defer { state.isRefused = false }
            return state.isRefused ? state.problem : nil
        }
        if let problem { throw CredentialsError(description: problem) }
        return token()
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
            flight.withLock { _ in renew() }
        }
    }

    /// When a token of so many seconds is renewed. Google's libraries do it 225 s before the end; the metadata server
    /// gives the same token out until 300 s before it.
    static func renewal(after lifetime: Double) -> Double {
        lifetime > 450 ? min(lifetime - 225, lifetime * 0.9) : lifetime / 2
    }

    private func renew() {
        let isRefused = state.withLock { $0.isRefused }
        do throws(CredentialsError) {
            let asked = Credentials.now()
            let fresh = try provider.token(TokenRequest(isAfterRefusal: isRefused))
            let lifetime = Double(fresh.lifetime)
            state.withLock { state in
                state.token = fresh.text
                state.expiry = asked + lifetime
                state.renewal = asked + max(Credentials.renewal(after: lifetime), 0.5)
                state.isRefused = false
                state.failures = 0
                state.problem = nil
                state.isTransient = false
            }
        } catch {
            let now = Credentials.now()
            let share = Double.random(in: 0.5...1)
            state.withLock { state in
                state.failures += 1
                let bound = min(Double(1 << min(state.failures - 1, 10)), Credentials.longestPause)
                state.renewal = now + bound * share
                state.problem = error.description
                state.isTransient = error.isTransient
            }
        }
    }
}
