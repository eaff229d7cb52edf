/// What an I/O thread waits for its descriptors with, and receives through.
///
/// epoll is the production default, also for `auto`: container runtimes forbid io_uring in their usual seccomp
/// profiles (Docker since 25, containerd since 2.0, and so GKE), many distributions switch it off by sysctl, and what
/// is forbidden on the node next door must not change how the collector behaves. io_uring is taken when it is asked
/// for and the probe at start says that all of it works.
public enum ReactorBackend: String, Sendable, CaseIterable {
    /// Level-triggered epoll; bytes are read by a system call for each connection that has some.
    case epoll
    /// Multishot receives into buffers that the connections share; at most one system call a cycle. Needs Linux 6.0,
    /// and is at its best from 6.1 on.
    case uring = "io_uring"

    /// The backend to use where `wanted` is asked for, and where that is another one, why.
    public static func choose(_ wanted: ReactorBackend) -> (choice: ReactorBackend, problem: String?) {
        guard wanted == .uring, let problem = URing.problem() else { return (wanted, nil) }
        return (.epoll, problem)
    }
}
