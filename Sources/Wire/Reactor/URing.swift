import CURing
import Glibc

/// What is known of io_uring on this machine.
public enum URing {
    /// Why io_uring cannot be used here, with the likely cause and the remedy; nil where all works that the reactor
    /// needs. Makes a ring and receives through it, which takes less than a millisecond.
    public static func problem() -> String? {
        var step: UnsafePointer<CChar>?
        let code = cu_probe(&step)
        return code < 0 ? words(step: step, code: -code) : nil
    }

    /// `making a ring: Operation not permitted (errno 1); likely cause: …`.
    static func words(step: UnsafePointer<CChar>?, code: Int32) -> String {
        let what = step.map { String(cString: $0) } ?? "io_uring"
        return "\(what): \(systemErrorText(code)) (errno \(code)); "
            + cause(code: code, disabled: disabled, release: release)
    }

    /// `disabled`: kernel.io_uring_disabled, nil where the kernel has no such key; `release`: the kernel's.
    static func cause(code: Int32, disabled: Int?, release: String) -> String {
        switch code {
        case EPERM where disabled == 1:
            "kernel.io_uring_disabled is 1: only members of kernel.io_uring_group may use it"
        case EPERM where (disabled ?? 0) > 1:
            "kernel.io_uring_disabled is 2: set it to 0 to allow it"
        case EPERM, EACCES:
            "likely cause: the container's seccomp profile, which must allow io_uring_setup, io_uring_enter and"
                + " io_uring_register"
        case ENOSYS:
            "likely cause: a seccomp profile or sandbox that hides it, or a kernel built without it (this is"
                + " \(release))"
        case EINVAL, EOPNOTSUPP, ETIMEDOUT:
            "likely cause: an old kernel; Linux 6.0 or later is needed, this is \(release)"
        case ENOMEM:
            "likely cause: the limit of locked memory (ulimit -l), or of the container's memory"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        default: "see errno \(code) in io_uring_setup(2)"
        }
    }

    private static var disabled: Int? {
        guard let file = fopen("/proc/sys/kernel/io_uring_disabled", "r") else { return nil }
        defer { fclose(file) }
        let digit = fgetc(file) - 48
        return digit >= 0 && digit <= 9 ? Int(digit) : nil
    }

    private static var release: String {
        var names = utsname()
        guard uname(&names) == 0 else { return "unknown" }
        return withUnsafeBytes(of: names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
