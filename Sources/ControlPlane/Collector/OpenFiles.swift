import Glibc

/// Why a plan's sockets cannot all be opened.
public struct OpenFilesError: Error, CustomStringConvertible {
    /// The sentence.
    public let description: String
}

/// The process's limit of open files, which sockets count against.
enum OpenFiles {
    /// Files besides sockets to exchanges: the sink, the API, event and timer descriptors.
    static let others = 100

    /// Sees to it that so many sockets can be open, and twice as many while all are replaced: raises the soft limit as
    /// far as needed and allowed.
    ///
    /// - Returns: a sentence where only the former is possible.
    static func provide(sockets: Int) throws(OpenFilesError) -> String? {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return nil }
        let needed = rlim_t(2 * sockets + others)
        if limit.rlim_cur < needed {
            limit.rlim_cur = min(needed, limit.rlim_max)
            guard setrlimit(resource, &limit) == 0, getrlimit(resource, &limit) == 0 else { return nil }
        }
        return try verdict(sockets: sockets, limit: Int(clamping: limit.rlim_cur))
    }

    /// What a limit means for so many sockets.
    static func verdict(sockets: Int, limit: Int) throws(OpenFilesError) -> String? {
        let remedy =
            "raise the hard limit of open files to \(2 * sockets + others) (ulimit -Hn, LimitNOFILE=)"
        guard limit >= sockets + others else {
            throw OpenFilesError(
                description:
                    "\(sockets) connections do not fit into the \(limit) files that the process may open;"
                    + " \(remedy)")
        }
        guard limit < 2 * sockets + others else { return nil }
        return
            "the process may open \(limit) files: too few to replace all \(sockets) connections at once; \(remedy)"
    }
}
