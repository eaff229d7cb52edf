import CKernel
import Glibc

/// Text for an errno value, negative or positive.
func errorText(_ code: Int) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
        guard let base = text.baseAddress else { return "" }
        ck_error_text(Int32(abs(code)), base, 256)
        return String(cString: base)
    }
}

/// Writes all of `text` to a file descriptor at once, so that a reader at a pipe sees whole lines.
func writeText(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
        var rest = UnsafeRawBufferPointer(bytes)
        while let base = rest.baseAddress, !rest.isEmpty {
            let count = write(descriptor, base, rest.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }
}

/// A line for people, on standard error.
func report(_ text: String) { writeText("feed-replayer: \(text)\n", to: STDERR_FILENO) }
