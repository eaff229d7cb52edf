import CKernel
import Glibc

/// The CPUs of this process and of this machine.
enum CPUSet {
    /// CPUs that the process may use, in ascending order.
    static func allowed() -> [Int] {
        var cpus = [Int32](repeating: 0, count: 1024)
        let count = max(0, min(Int(ck_allowed_cpus(&cpus, Int32(cpus.count))), cpus.count))
        return cpus[..<count].map(Int.init)
    }

    /// CPUs that the machine has switched on.
    static func online() -> Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
}
