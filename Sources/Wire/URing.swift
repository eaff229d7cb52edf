import CURing

/// What is known of io_uring on this machine. The reactor of this version is epoll; the probe tells an operator
/// beforehand whether the other backend could be had.
public enum URing {
    /// Why io_uring cannot be used here, with the likely cause; nil where a request went through a ring.
    public static func problem() -> String? {
        let code = cu_probe()
        guard code < 0 else { return nil }
        let cause =
            switch -code {
            case 1: "forbidden; likely cause: the container's seccomp profile, or kernel.io_uring_disabled"
            case 38: "not in this kernel"
            case 12: "no memory; likely cause: the limit of locked memory (ulimit -l)"
            default: systemErrorText(-code)
            }
        return "\(cause) (errno \(-code))"
    }
}
